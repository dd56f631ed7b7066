#pragma once

#include <set>
#include <string>

#include "state/checkpoint_storage.hpp"

namespace weir {

/// The paths at which the output files will lie that the snapshot in `directory` holds for file sinks, or do already:
/// whoever goes back to the snapshot leaves these alone and moves newer ones away. Errors: as `read_metadata`. May block.
[[nodiscard]] Result<std::set<std::string>> files_held_by(CheckpointStorage& storage,
                                                          const std::string& directory);

}  // namespace weir
