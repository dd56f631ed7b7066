#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backends/remembered_snapshots.hpp"
#include "state/ids.hpp"
#include "state/snapshot_metadata.hpp"

namespace weir {

/// One image of one key group, and where it lies.
struct ImagePiece {
  std::uint64_t sequence = 0;                    ///< the checkpoint that wrote it
  std::shared_ptr<const DataLocation> location;  ///< null: in the payload that is being written
  KeyGroupExtent extent;
};
/// What a key group is restored from: an image of the whole, then those that are laid over it. Empty: the
/// group has no entries.
using ImageChain = std::vector<ImagePiece>;

/// What a snapshot of one table consists of.
struct TableImages {
  std::uint32_t epoch = 0;         ///< of the table, that was frozen for it
  std::vector<ImageChain> groups;  ///< by group, from the table's first
};
/// The same of all tables of one backend, by the name of the state.
using BackendImages = std::map<std::string, TableImages, std::less<>>;

using ImageChains = RememberedSnapshots<BackendImages>;

/// Which groups, by their index, are to be written whole again, so that a restore reads no more than a few
/// times what there is: those whose later pieces have outgrown the whole one, or are too many. The worst
/// come first, a sixteenth of the groups at a time; one that has outgrown it three times always comes.
[[nodiscard]] std::vector<bool> choose_compacted(const std::vector<ImageChain>& groups);

}  // namespace weir
