#include "simulation/snapshot_contents.hpp"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "simulation/scenario/snapshot_values.hpp"

namespace weir {

namespace {

using Json = nlohmann::json;

constexpr const char* event_time_timers = "event-time timers";

bool is_compared(const std::string& name, StateKind kind) {
  return is_keyed(kind) && !(kind == StateKind::timer && name == "processing-time timers");
}

}  // namespace

Result<SnapshotContents> read_contents(CheckpointStorage& storage, const std::string& directory,
                                       bool ordered_lists) {
  WEIR_TRY_ASSIGN(values, read_snapshot_values(storage, directory));
  SnapshotContents contents;
  for (const auto& [name, state] : values.states) {
    if (!is_compared(name.second, state.kind)) continue;
    if (!state.unreadable.empty())
      return error(Errc::unsupported, directory + ": operator '" + name.first + "', state '" +
                                          name.second + "': " + state.unreadable);
    auto& entries = contents[{name.first, name.second}];
    Json keys = Json::parse(state.json);
    for (auto& [key, value] : keys.items()) {
      if (state.kind == StateKind::list && !ordered_lists) std::sort(value.begin(), value.end());
      entries.insert({key, value.dump()});
    }
  }
  return contents;
}

std::optional<std::string> first_difference(const SnapshotContents& found,
                                            const SnapshotContents& expected) {
  const auto place = [](const StateName& name, const std::string& key) {
    return "operator '" + name.operator_uid + "', state '" + name.state + "', key " + key + ": ";
  };
  const auto quoted = [](const StateEntry* entry) {
    if (entry == nullptr) return std::string("nothing");
    return entry->value;
  };
  static const std::set<StateEntry> none;
  std::set<StateName> names;
  for (const auto& [name, entries] : expected) names.insert(name);
  for (const auto& [name, entries] : found) names.insert(name);
  const auto of = [](const SnapshotContents& contents,
                     const StateName& name) -> const std::set<StateEntry>& {
    const auto at = contents.find(name);
    return at == contents.end() ? none : at->second;
  };
  for (const StateName& name : names) {
    // How far the watermark comes before the end depends on how the input is dealt out, and with it what timers have done.
    const StateName timers{name.operator_uid, event_time_timers};
    if (of(found, timers) != of(expected, timers)) continue;
    const auto& have = of(found, name);
    const auto& want = of(expected, name);
    const auto [h, w] = std::ranges::mismatch(have, want);
    if (h == have.end() && w == want.end()) continue;
    const StateEntry* has = h == have.end() ? nullptr : &*h;
    const StateEntry* wants = w == want.end() ? nullptr : &*w;
    // Of two keys that differ, the lesser is the one that the other side lacks.
    if (has != nullptr && wants != nullptr && has->key != wants->key)
      (has->key < wants->key ? wants : has) = nullptr;
    return place(name, (has != nullptr ? has : wants)->key) + "found " + quoted(has) +
           ", expected " + quoted(wants);
  }
  return std::nullopt;
}

}  // namespace weir
