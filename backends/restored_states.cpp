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

Status RestoredEntries::next(const std::function<Status(std::span<const EntryView>)>& take) {
  const Extent& extent = extents_[next_];
  if (!reader_) reader_ = std::make_unique<ExtentReader>(*extent.source, extent.group, key_width_);
  WEIR_TRY_ASSIGN(entries, reader_->next());
  if (auto taken = take(entries); !taken)
    return error(taken.error().code, extent.source->name() + ": " + what_ + ", key group " +
                                         std::to_string(extent.group.group) + ": " +
                                         taken.error().what);
  if (reader_->done()) {
    reader_.reset();
    ++next_;
  }
  return {};
}

Result<RestoredEntries> RestoredStates::claim(const StateDeclaration& declaration,
                                              KeyGroupRange groups) {
  const std::string what = operator_label_ + ", state '" + declaration.name + "'";
  std::vector<RestoredEntries::Extent> extents;
  const auto found = std::ranges::find_if(states_, [&](const RestoredKeyedState& state) {
    return state.declaration.name == declaration.name;
  });
  if (found == states_.end()) return RestoredEntries(what, key_width_, {});
  WEIR_TRY(check(found->declaration, declaration));

  for (const RestoredKeyedState::Part& part : found->parts)
    for (const KeyGroupExtent& group : part.groups)
      if (groups.contains(group.group)) extents.push_back({part.source, group});
  const auto group_of = [](const RestoredEntries::Extent& extent) { return extent.group.group; };
  std::ranges::sort(extents, {}, group_of);
  if (const auto twice = std::ranges::adjacent_find(extents, {}, group_of); twice != extents.end())
    return error(Errc::corruption, twice->source->name() + ": key group " +
                                       std::to_string(twice->group.group) + " of state '" +
                                       declaration.name + "' is there twice");
  states_.erase(found);
  return RestoredEntries(what, key_width_, std::move(extents));
}

Status RestoredStates::check(const StateDeclaration& restored,
                             const StateDeclaration& declared) const {
  const auto differs = [&](const std::string& reason) {
    return error(Errc::state_incompatible,
                 operator_label_ + ", state '" + declared.name + "': " + reason);
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

}  // namespace weir
