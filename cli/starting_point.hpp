#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/plan_description.hpp"
#include "state/checkpoint_storage.hpp"
#include "state/file_system.hpp"
#include "state/ids.hpp"

namespace weir {

/// The snapshot that a job starts from, verified to its last byte.
struct StartingPoint {
  std::string directory;
  bool continues = false;  ///< the job goes on under `job`
  JobId job;               ///< the snapshot's
  std::vector<std::string> warnings;
};

/// What `-s latest` has to know of the job that it looks for.
struct LatestSearch {
  std::string job_name;
  std::vector<std::string> directories;  ///< that checkpoints may lie under, absolute
  bool transactional = false;            ///< a sink of the job commits what it wrote
};

/// Resolves `-s latest`: the newest recovery point of the job of that name which verifies. A job
/// without transactional sinks passes over damaged ones, with a warning; for a job with one it is an
/// error that names both, because the sink may have committed what lies between. Nothing older than a run
/// that has finished is chosen. Errors: `not_found` if there is none, or the newest run has finished;
/// `corruption`; `io_error`. Threads: any; may block.
[[nodiscard]] Result<StartingPoint> find_latest(CheckpointStorage& storage,
                                                const LatestSearch& search);

/// What `-s latest` would start from, if a job with `plan` that found files in its output directories could
/// go on from that: the job that `-s latest` continues has written every committed file there, and no process
/// runs it. None otherwise, also if that cannot be found out. Threads: any; may block.
[[nodiscard]] std::optional<StartingPoint> find_latest_of_output(CheckpointStorage& storage,
                                                                 FileSystem& files,
                                                                 const LatestSearch& search,
                                                                 const PlanDescription& plan);

/// Resolves `-s PATH`: the snapshot in `directory`, absolute, or the one whose `_metadata` it is.
/// Errors: `not_found`, `corruption`, `unsupported`, `io_error`. Never falls back to another one.
[[nodiscard]] Result<StartingPoint> open_starting_point(CheckpointStorage& storage,
                                                        std::string directory);

/// Resolves `-s PATH --claimMode CLAIM`: the checkpoint becomes the job's own, which goes on under its
/// id, in `checkpoints`, the directory of the job's checkpoints. It must be the newest there: what is
/// newer builds on it. Errors: as `open_starting_point`; `invalid_argument` if it is a savepoint, lies
/// elsewhere or is not the newest.
[[nodiscard]] Result<StartingPoint> claim_starting_point(CheckpointStorage& storage,
                                                         std::string directory,
                                                         const std::string& checkpoints);

}  // namespace weir
