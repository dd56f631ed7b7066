#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "simulation/scenario/scenario.hpp"
#include "simulation/scenario/snapshot_values.hpp"
#include "state/ids.hpp"
#include "state/result.hpp"

namespace weir {

/// One message that was delivered, as a trace shows it.
struct SeenMessage {
  std::chrono::milliseconds time{0};  ///< since the world began
  std::string from;                   ///< `client`, `JobManager`, `TaskManager:1`, `Task:0/1`, ...
  std::string to;
  std::string message;
  std::string job;               ///< its id; empty if it names none
  std::uint64_t checkpoint = 0;  ///< of that job; 0 if it names none
  std::string state;             ///< of a task, if it tells one
  std::string reason;            ///< of `DeclineCheckpoint`
  std::string detail;            ///< the sentence of `DeclineCheckpoint`
};

/// How the job is, as far as the world knows now.
struct SeenJob {
  bool submitted = false;  ///< since the world began
  JobState state = JobState::created;
  bool gone = false;  ///< its JobManager was killed, so that `state` is the last that was known
  std::string failure;
  std::uint64_t restarts = 0;
  std::uint64_t checkpoints_completed = 0;
  std::uint64_t checkpoints_failed = 0;
  std::uint64_t last_checkpoint = 0;                ///< number of the newest completed one; 0: none
  std::string restored_directory;                   ///< what this run began or restarted from
  std::uint64_t source_records = 0;                 ///< that the sources have sent
  std::map<std::string, std::uint64_t> records_in;  ///< by uid of the operator
};

// ---- what a world is asked, with names of snapshots replaced by directories ------------------------

/// Starts the job.
struct StartJobRequest {
  std::string restore;  ///< a snapshot's directory, `latest`, or empty
  std::uint32_t parallelism = 0;
  std::string backend;
  bool claim = false;
  bool allow_non_restored_state = false;
  std::vector<std::string> more_arguments;
};
/// Takes a savepoint.
struct TakeSavepointRequest {
  SavepointEnd end = SavepointEnd::runs_on;
  SnapshotForm form = SnapshotForm::canonical;
  bool drain = false;
};
struct TakeCheckpointRequest {};
struct CancelJobRequest {};
using WorldRequest =
    std::variant<StartJobRequest, TakeSavepointRequest, TakeCheckpointRequest, CancelJobRequest>;

/// A good answer.
struct WorldAnswer {
  std::string directory;         ///< of the snapshot that was taken
  std::uint64_t checkpoint = 0;  ///< its number; 0 if it is not known
};

/// A fault of a step, of which nothing has to be replaced but the snapshot of `CorruptStep`.
using WorldFault = std::variant<KillStep, PauseStep, ResumeStep, StartProcessStep, CutStep,
                                HealStep, MessageFaultStep, CorruptStep, FillDiskStep, FreeDiskStep,
                                FailIoStep, SlowDiskStep, ClockJumpStep>;

/// What a scenario is played in: processes, a disk, a job. One is simulated, another are real processes.
/// Nothing moves but within `advance` (or beside it, in real processes), so that the runner looks at the
/// world after each little step. What a world cannot do it answers with `unsupported`.
/// Threads: one.
class ScenarioWorld {
 public:
  virtual ~ScenarioWorld() = default;

  /// Whether the world can do what `step` says, before anything is started. Errors: `unsupported`, a sentence
  /// without place, such as "a real cluster is one process, so no link can be cut".
  [[nodiscard]] virtual Status check(const Step& step) const = 0;
  /// Makes the files and starts the processes of the scenario; once, first. Errors: `not_found` if there is
  /// no such library; whatever else keeps it from beginning.
  [[nodiscard]] virtual Status begin() = 0;

  // ---- time

  /// Since `begin`.
  [[nodiscard]] virtual std::chrono::milliseconds now() const = 0;
  /// Lets the world move a little, by at most `limit` of time. False if nothing will ever happen again.
  [[nodiscard]] virtual Result<bool> advance(std::chrono::milliseconds limit) = 0;

  // ---- asking

  /// Names a request for `answer`.
  using RequestId = std::uint64_t;
  /// Sends a request. The errors that the request itself may get are in its answer; here are those of a world
  /// that cannot ask.
  [[nodiscard]] virtual Result<RequestId> request(const WorldRequest& request) = 0;
  /// The answer, once it is there. A start is answered when every task runs or the job has ended well.
  [[nodiscard]] virtual std::optional<Result<WorldAnswer>> answer(RequestId id) = 0;

  // ---- faults

  /// Errors: `unsupported`, `invalid_argument` (nothing to kill, no file to damage), `io_error`.
  [[nodiscard]] virtual Status inject(const WorldFault& fault) = 0;

  // ---- looking

  /// All that were delivered since `begin`, in order; grows.
  [[nodiscard]] virtual const std::vector<SeenMessage>& messages() = 0;
  /// What is asked for here and below may be a little behind; it is asked after every `advance`.
  [[nodiscard]] virtual Result<SeenJob> job() = 0;
  /// The lines of all committed files below `${output}`, sorted.
  [[nodiscard]] virtual Result<std::vector<std::string>> output() = 0;
  /// The paths of all files below `${work}`, relative to it and sorted.
  [[nodiscard]] virtual Result<std::vector<std::string>> files() = 0;
  /// The directory of the newest complete checkpoint or terminal savepoint of the job; empty if there is none.
  [[nodiscard]] virtual Result<std::string> latest_snapshot() = 0;
  /// Reads and verifies the whole snapshot in `directory`. Errors: `not_found`, `corruption`, ...
  [[nodiscard]] virtual Result<SnapshotValues> snapshot(const std::string& directory) = 0;
  /// Every sentence that the user was told, a line each.
  [[nodiscard]] virtual std::string told() = 0;
  /// The names of the job's vertices by number, for diagrams; those that are not known are left out.
  [[nodiscard]] virtual std::map<std::uint32_t, std::string> vertex_names() = 0;
  /// Whether all processes of the scenario are one, which dies as a whole; for diagrams.
  [[nodiscard]] virtual bool is_one_process() const = 0;
  /// How a run that failed can be looked at or repeated, such as a command; may be empty.
  [[nodiscard]] virtual std::string how_to_repeat() const = 0;
};

/// Makes a world of its own for `scenario`, whose job is there: `--simulate` and `--real` have one each.
/// Errors: `not_found`, ...
using MakeScenarioWorld =
    std::function<Result<std::unique_ptr<ScenarioWorld>>(const Scenario& scenario)>;

}  // namespace weir
