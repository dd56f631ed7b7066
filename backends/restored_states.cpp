#include "backends/restored_states.hpp"

#include <algorithm>
#include <utility>

namespace weir {

std::vector<std::string> RestoredStates::names() const {
  std::vector<std::string> names;
  names.reserve(states_.size());
  for (const RestoredKeyedState& state : states_) names.push_back(state.declaration.name);
  return names;
}

Result<std::vector<RestoredStates::Extent>> RestoredStates::claim(
    const StateDeclaration& declaration, KeyGroupRange groups) {
  std::vector<Extent> extents;
  const auto found = std::ranges::find_if(states_, [&](const RestoredKeyedState& state) {
    return state.declaration.name == declaration.name;
  });
  if (found == states_.end()) return extents;
  WEIR_TRY(check(found->declaration, declaration));

  for (const RestoredKeyedState::Part& part : found->parts)
    for (const KeyGroupExtent& group : part.groups)
      if (groups.contains(group.group)) extents.push_back({part.source, group});
  const auto group_of = [](const Extent& extent) { return extent.group.group; };
  std::ranges::sort(extents, {}, group_of);
  if (const auto twice = std::ranges::adjacent_find(extents, {}, group_of); twice != extents.end())
    return error(Errc::corruption, twice->source->name() + ": key group " +
                                       std::to_string(twice->group.group) + " of state '" +
                                       declaration.name + "' is there twice");
  states_.erase(found);
  return extents;
}

Status RestoredStates::check(const StateDeclaration& restored,
                             const StateDeclaration& declared) const {
  const auto differs = [&](const std::string& reason) {
    return error(Errc::state_incompatible,
                 "operator '" + operator_uid_ + "', state '" + declared.name + "': " + reason);
  };
  if (restored.kind != declared.kind)
    return differs("the snapshot holds " + std::string(enumerator_name(restored.kind)) +
                   " state, the job declares " + std::string(enumerator_name(declared.kind)) +
                   " state; use another name for the new state");
  if (restored.key.has_value() != declared.key.has_value())
    return differs("it is keyed in either the snapshot or the job, but not in both");
  if (restored.key)
    if (const auto same = check_compatible(*restored.key, *declared.key); !same)
      return differs("the key has another type in the snapshot: " + same.error().what);
  if (const auto same = check_compatible(restored.value, declared.value); !same)
    return differs("the value has another type in the snapshot: " + same.error().what);
  return {};
}

Status RestoredStates::read(const std::string& name, const Extent& extent,
                            const EntryVisitor& visit) const {
  return read_extent(*extent.source, extent.group, key_width_,
                     [&](std::string_view key, std::string_view value) -> Status {
                       auto visited = visit(key, value);
                       if (visited) return visited;
                       return error(visited.error().code, extent.source->name() + ": operator '" +
                                                              operator_uid_ + "', state '" + name +
                                                              "', key group " +
                                                              std::to_string(extent.group.group) +
                                                              ": " + visited.error().what);
                     });
}

}  // namespace weir
