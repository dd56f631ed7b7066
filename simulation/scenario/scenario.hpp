#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/events.hpp"
#include "state/snapshot_metadata.hpp"

/// What a scenario file says: a cluster, a job, what is done with them one step after the other, and what
/// must be so in the end. Plain values; `scenario_parser.hpp` reads them, `scenario_runner.hpp` carries them
/// out, and docs/scenarios.md is the language for people.
namespace weir {

/// Where something stands in the scenario file, counted from 1; 0: nowhere.
struct Place {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  bool operator==(const Place&) const = default;
};

/// What a step can kill, hold up or cut off.
enum class ProcessKind : std::uint8_t {
  job_manager,
  task_manager,
  everything,  ///< every process of the cluster
  host,        ///< every process, and what was not synced to the disk is lost
  any,         ///< one process, drawn
  client,      ///< one end of a link
};
struct ProcessName {
  ProcessKind kind = ProcessKind::any;
  std::uint32_t number = 0;  ///< of a TaskManager, from 1
  bool operator==(const ProcessName&) const = default;
};
/// As it is written: `task manager 2`.
[[nodiscard]] std::string to_string(const ProcessName& process);

/// Which messages are meant; what is left out fits any.
struct MessagePattern {
  std::string
      from;        ///< `client`, `JobManager`, `CheckpointCoordinator`, `TaskManager`, `Task`, ...
  std::string to;  ///< ... or one of them as in traces: `TaskManager:1`, `Task:0/1`
  std::string message;
  std::optional<std::uint64_t> checkpoint;
  bool operator==(const MessagePattern&) const = default;
};
/// As it is written: `client -> JobManager: TriggerSavepoint`.
[[nodiscard]] std::string to_string(const MessagePattern& pattern);

// ---- expectations -----------------------------------------------------------------------------------

/// The lines that the job has committed below its output directory, in no order.
struct OutputExpectation {
  bool exactly_once = false;  ///< those of the same job without any step but `run` to its end
  std::optional<std::vector<std::string>> lines;     ///< these and no others
  std::string file;                                  ///< that `lines` were read from, as written
  std::optional<std::vector<std::string>> contains;  ///< these are among them
  std::optional<std::uint64_t> count;                ///< so many
};
/// What a canonical snapshot holds.
struct StateExpectation {
  std::string snapshot;  ///< a name, or `latest`
  std::string like;      ///< another one that holds the same keyed state; the rest is then empty
  std::string operator_uid;
  std::string state;
  /// JSON. Keyed state: an object from keys (text, or their JSON) to values. Operator state: a list.
  std::optional<std::string> equals;
  std::optional<std::string> contains;  ///< these keys at least, or these elements
  std::optional<std::uint64_t> keys;    ///< how many
};
/// Messages that were delivered in this order, with any others between them.
struct MessagesExpectation {
  std::vector<MessagePattern> in_order;
  std::string of;  ///< the name of a snapshot, whose messages alone count; or empty
};
/// How often a message was delivered.
struct MessageCountExpectation {
  MessagePattern message;
  std::string of;
  std::optional<std::uint64_t> times;
  std::optional<std::uint64_t> at_least;  ///< without any of the three: 1
  std::optional<std::uint64_t> at_most;
};
/// That a task declined a checkpoint.
struct DeclinedExpectation {
  std::optional<DeclineReason> reason;
  std::string contains;  ///< in the sentence
  std::string of;
};
struct JobExpectation {
  std::optional<JobState> state;
  std::optional<std::string> failure;  ///< the sentence of the job's last failure contains this
  std::optional<std::uint64_t> restarts;
  std::string restored_from;  ///< name of a snapshot
};
/// Counters of the JobManager that runs the job, or ran it last.
struct CheckpointsExpectation {
  std::optional<std::uint64_t> completed;
  std::optional<std::uint64_t> at_least;
  std::optional<std::uint64_t> at_most;
  std::optional<std::uint64_t> failed;
};
enum class SnapshotCondition : std::uint8_t { complete, damaged, gone };
struct SnapshotExpectation {
  std::string snapshot;
  SnapshotCondition condition = SnapshotCondition::complete;
};
/// What the user is told contains this: errors and warnings of the job and of each command.
struct ToldExpectation {
  std::string contains;
};
/// How many files lie below the working directory whose path fits.
struct FilesExpectation {
  std::string
      like;  ///< a path relative to `${work}`, in which `*` and `?` stand for anything, also for `/`
  std::optional<std::uint64_t> count;
  std::optional<std::uint64_t> at_least;  ///< without any of the three: 1
  std::optional<std::uint64_t> at_most;
};
/// All steps took no longer: virtual time if simulated, else real.
struct WithinExpectation {
  std::chrono::milliseconds time{0};
};

using Condition =
    std::variant<OutputExpectation, StateExpectation, MessagesExpectation, MessageCountExpectation,
                 DeclinedExpectation, JobExpectation, CheckpointsExpectation, SnapshotExpectation,
                 ToldExpectation, FilesExpectation, WithinExpectation>;
struct Expectation {
  Place place;
  std::string text;      ///< as in the file, on one line, perhaps shortened
  bool negated = false;  ///< `not:`
  Condition condition;
};

// ---- steps ------------------------------------------------------------------------------------------

/// What every step says that asks for something and gets an answer.
struct Asking {
  bool background = false;           ///< the next step begins before the answer is there
  std::optional<std::string> fails;  ///< the answer must be an error with these words
  bool may_fail = false;             ///< either answer is right
  bool operator==(const Asking&) const = default;
};

/// Starts the job. From a snapshot if `from` is not empty: the name of an earlier step's, or `latest`.
struct StartStep {
  std::string from;
  std::uint32_t parallelism = 0;            ///< 0: that of the job
  std::string backend;                      ///< empty: that of the configuration
  bool claim = false;                       ///< the checkpoint becomes the job's own
  bool allow_non_restored_state = false;    ///< skips state that belongs to no operator
  std::vector<std::string> more_arguments;  ///< of the job, behind those of the scenario
  Asking asking;
};
/// Goes on as soon as one thing is so. Exactly one of the fields is set.
struct WaitStep {
  std::optional<std::uint64_t> records;      ///< that `operator_uid` has taken in, or sources sent
  std::string operator_uid;                  ///< of `records`; empty: the sources together
  std::optional<JobState> state;             ///< of the job
  std::optional<std::uint64_t> checkpoints;  ///< that have completed since the step began
  std::optional<std::uint64_t> checkpoint;   ///< the number of one that has completed
  std::optional<std::uint64_t> output;       ///< committed lines
  std::optional<MessagePattern> message;     ///< one that is delivered while the step waits ...
  std::uint64_t times = 1;                   ///< ... so often
  std::optional<std::chrono::milliseconds> time;  ///< that passes: virtual if simulated, else real
  bool answers = false;                           ///< every step in the background has its answer
};
struct CheckpointStep {
  std::string name;  ///< by which later steps and expectations mean it; may be empty
  Asking asking;
};
/// How a step with a savepoint ends the job.
enum class SavepointEnd : std::uint8_t { runs_on, cancelled, stopped };
struct SavepointStep {
  SavepointEnd end = SavepointEnd::runs_on;
  std::string name;
  SnapshotForm form = SnapshotForm::canonical;  ///< canonical or native
  bool drain = false;                           ///< of a stop: the input ends first
  Asking asking;
};
struct CancelStep {
  Asking asking;
};
/// `kill -9`. A TaskManager or JobManager that is killed is gone until a `StartProcessStep`, or until the
/// job is started again, which starts what is missing.
struct KillStep {
  ProcessName process;
  std::uint64_t after_file_operations = 0;  ///< 0: now; else right after so many from now
};
/// A process that does nothing, as with SIGSTOP, until `time` has passed or a `ResumeStep`.
struct PauseStep {
  ProcessName process;
  std::optional<std::chrono::milliseconds> time;
};
struct ResumeStep {
  ProcessName process;
};
struct StartProcessStep {
  ProcessName process;
};
/// No message passes from `from` to `to`, nor back unless `one_way`, until a `HealStep`.
struct CutStep {
  ProcessName from;
  ProcessName to;
  bool one_way = false;
};
/// Links are whole again, and the disk does what it is told.
struct HealStep {};
/// What happens to the `nth` message of this kind that is sent from here on.
enum class MessageFault : std::uint8_t { delayed, dropped, repeated };
struct MessageFaultStep {
  MessageFault fault = MessageFault::dropped;
  MessagePattern message;
  std::uint64_t nth = 1;    ///< from 1
  std::uint64_t times = 1;  ///< how many of them, from the `nth` on; or how often it is repeated
  std::chrono::milliseconds time{0};  ///< that it is delayed, or that its repetition comes later
};
/// How bytes at rest are damaged.
enum class Damage : std::uint8_t { flip_bit, zero_block, truncate, extend, remove };
struct CorruptStep {
  std::string snapshot;  ///< the name of an earlier step's, or `latest`
  bool metadata =
      false;  ///< its `_metadata`; else its largest data file, or `_metadata` if it has none
  Damage damage = Damage::flip_bit;
  std::optional<std::uint64_t> at;  ///< byte of the file; none: the middle
};
struct FillDiskStep {
  std::uint64_t leave_bytes = 0;  ///< that can still be written
};
struct FreeDiskStep {};
/// File operations that fail. Operations and errors are called as in docs/simulation.md.
struct FailIoStep {
  std::string operation;  ///< `sync`, `rename`, ...; empty: any
  std::string
      error;  ///< `ENOSPC`, `EIO`, `EINTR`, `short write`, `reported failed`, `half renamed`
  std::uint64_t nth = 1;    ///< the first that fails, counted from here
  std::uint64_t times = 1;  ///< how many do; 0: all from there on
};
/// The reading and writing of files waits; nothing else does.
struct SlowDiskStep {
  ProcessName process;
  std::chrono::milliseconds time{0};
};
/// The wall clock of the cluster; timeouts go by another one.
struct ClockJumpStep {
  std::chrono::milliseconds by{0};  ///< may be negative
};

/// Looks at expectations now, not at the end.
struct ExpectStep {
  std::vector<Expectation> expectations;
};

using StepAction = std::variant<StartStep, WaitStep, CheckpointStep, SavepointStep, CancelStep,
                                KillStep, PauseStep, ResumeStep, StartProcessStep, CutStep,
                                HealStep, MessageFaultStep, CorruptStep, FillDiskStep, FreeDiskStep,
                                FailIoStep, SlowDiskStep, ClockJumpStep, ExpectStep>;
struct Step {
  Place place;
  std::string text;  ///< as in the file, on one line, perhaps shortened
  StepAction action;
  std::optional<std::chrono::milliseconds> within;  ///< the step must not take longer
};

// ---- the file ---------------------------------------------------------------------------------------

struct ScenarioCluster {
  std::uint32_t task_managers = 1;
  std::uint32_t slots = 0;                           ///< of each; 0: as many as the job needs
  std::map<std::string, std::string> configuration;  ///< canonical keys
};
struct ScenarioJob {
  Place place;
  std::string path;        ///< of the library or source as written, relative to the scenario file
  bool is_source = false;  ///< C++, to be compiled
  std::vector<std::string> arguments;  ///< with `${work}`, `${output}` and `${scenario}`
  std::uint32_t parallelism = 0;
  std::map<std::string, std::string> configuration;  ///< canonical keys
};
/// A file that is there before the first step.
struct ScenarioFile {
  std::string name;  ///< relative, below `${work}`
  std::string content;
};

struct Scenario {
  std::string path;       ///< of the file, as given; begins error sentences
  std::string directory;  ///< of the file, absolute: `${scenario}`
  std::string name;
  std::string description;
  std::chrono::milliseconds time_limit{0};  ///< of all steps together
  ScenarioCluster cluster;
  ScenarioJob job;
  std::vector<ScenarioFile> files;
  std::vector<Step> steps;
  std::vector<Expectation> expectations;  ///< in the end
};

/// `FILE:LINE:COLUMN`.
[[nodiscard]] std::string to_string(const Scenario& scenario, Place place);

/// The directories of one run of a scenario: `${work}` and, below it, `${output}`.
struct ScenarioDirectories {
  std::string work;
  std::string output;
};
/// `text` with `${work}`, `${output}` and `${scenario}` replaced.
[[nodiscard]] std::string replace_variables(std::string text, const Scenario& scenario,
                                            const ScenarioDirectories& directories);

}  // namespace weir
