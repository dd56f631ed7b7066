#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "simulation/scenario/scenario.hpp"
#include "state/checkpoint_storage.hpp"
#include "state/result.hpp"

namespace weir {

/// The file of the snapshot in `directory` that a step damages: `_metadata`, or the largest data file that
/// it names; `_metadata` if that holds everything. Errors: as `read_metadata`.
[[nodiscard]] Result<std::string> file_to_damage(CheckpointStorage& storage,
                                                 const std::string& directory, bool metadata);

/// `bytes` with the damage that a step does, at byte `at` or in the middle. Requires that it is not to be
/// removed.
/// Errors: `invalid_argument` if there is no such byte.
[[nodiscard]] Result<std::string> damaged(std::string bytes, Damage damage,
                                          std::optional<std::uint64_t> at);

}  // namespace weir
