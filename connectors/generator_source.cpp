#include "connectors/generator_source.hpp"

namespace weir {

std::vector<IndexLane> index_lanes(std::uint64_t count, std::uint32_t subtask,
                                   std::uint32_t parallelism) {
  const std::uint64_t lanes =
      std::min(count, std::max<std::uint64_t>(generator_lanes, parallelism));
  std::vector<IndexLane> result;
  for (std::uint64_t first = subtask; first < lanes; first += parallelism)
    result.push_back({first, count, lanes});
  return result;
}

}  // namespace weir
