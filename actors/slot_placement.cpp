#include "actors/slot_placement.hpp"

#include <algorithm>

namespace weir {

std::uint32_t slots_needed(const JobGraph& graph) {
  return std::ranges::max(graph.vertices, {}, &JobVertex::parallelism).parallelism;
}

std::string missing_slots(const JobGraph& graph) {
  return "the job needs " + std::to_string(slots_needed(graph)) +
         " slots, which are not free; raise taskmanager.numberOfTaskSlots or lower the parallelism "
         "with -p";
}

std::optional<std::vector<TaskManagerId>> SlotPlacement::place(std::uint32_t count,
                                                               bool spread) const {
  std::map<TaskManagerId, std::uint32_t> free = slots_;
  for (auto& [id, slots] : free)
    if (const auto taken = taken_.find(id); taken != taken_.end())
      slots -= std::min(slots, static_cast<std::uint32_t>(taken->second.size()));
  for (const auto& [id, slots] : free)
    if (!spread && slots >= count) return std::vector(count, id);
  std::vector<TaskManagerId> placed;
  for (bool progress = true; placed.size() < count && progress;) {
    progress = false;
    for (auto& [id, slots] : free) {
      if (slots == 0 || placed.size() == count) continue;
      --slots;
      placed.push_back(id);
      progress = true;
    }
  }
  if (placed.size() < count) return std::nullopt;
  return placed;
}

}  // namespace weir
