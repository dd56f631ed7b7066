#include "backends/memory/image_chains.hpp"

#include <algorithm>
#include <utility>

namespace weir {

namespace {

/// Pieces of a group beyond which it is written whole again, however small they are: each is a line in
/// every later `_metadata`, and keeps a file alive.
constexpr std::size_t most_pieces = 64;
constexpr std::uint64_t always_at_times = 3;
constexpr std::size_t groups_for_each_compacted = 16;

}  // namespace

std::vector<bool> choose_compacted(const std::vector<ImageChain>& groups) {
  struct Due {
    double times;  // of the whole piece that the later ones are
    std::size_t group;
  };
  std::vector<bool> chosen(groups.size(), false);
  std::vector<Due> due;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const ImageChain& chain = groups[i];
    if (chain.empty()) continue;
    const std::uint64_t whole = chain.front().extent.length;
    std::uint64_t later = 0;
    for (std::size_t piece = 1; piece < chain.size(); ++piece) later += chain[piece].extent.length;
    if (later <= whole && chain.size() <= most_pieces) continue;
    if (later / always_at_times > whole) chosen[i] = true;
    due.push_back({static_cast<double>(later) / static_cast<double>(whole), i});
  }
  std::ranges::stable_sort(due, std::greater(), &Due::times);
  const std::size_t count =
      std::min(due.size(), std::max<std::size_t>(1, groups.size() / groups_for_each_compacted));
  for (std::size_t i = 0; i < count; ++i) chosen[due[i].group] = true;
  return chosen;
}

}  // namespace weir
