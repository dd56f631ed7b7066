#include "state/key_groups.hpp"

#include <algorithm>
#include <bit>

namespace weir {

std::uint32_t default_max_parallelism(std::uint32_t parallelism) {
  const std::uint64_t wanted = std::uint64_t{parallelism} + parallelism / 2;
  return static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(std::bit_ceil(wanted), 128, max_key_groups));
}

}  // namespace weir
