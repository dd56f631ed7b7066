#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include "actors/process.hpp"
#include "simulation/seeded_random.hpp"
#include "simulation/simulated_file_system.hpp"
#include "simulation/simulated_link.hpp"
#include "simulation/simulated_record_network.hpp"
#include "storage/file_checkpoint_storage.hpp"

namespace weir {

/// Processes of a cluster in one thread: the production actors, tasks and I/O work, under one scheduler
/// that a seed drives and a virtual clock that moves on when nothing else can, and a little beside the work.
/// All processes see one disk. What happens next is drawn: which actor takes its next message, which task makes a step,
/// which piece of I/O work is done. So the same seed gives the same history, of which `trace_hash` is
/// the hash.
///
/// A process that is paused does nothing: its actors hear nothing, its tasks make no step, its I/O work waits.
///
/// A process that crashes is dropped as it is: its tasks make no further step, its I/O work is not
/// done or stops between two file operations, what it has not synced is lost if the host goes down with
/// it. What its actors had already sent arrives.
/// Threads: one.
class SimulatedCluster {
 public:
  struct Settings {
    std::uint64_t seed = 0;
    Configuration configuration;        ///< of every process
    JobLibraries* libraries = nullptr;  ///< outlives the cluster
    std::function<Result<std::shared_ptr<StateBackend>>(const Configuration&)> make_backend;
    /// Time passes beside the work, in one of eight steps and each time at most so much; 0: only when there is nothing
    /// left to do. Without it all that happens between two events of the clock happens at one time.
    std::chrono::milliseconds pace{0};
    /// How slow disks are: a piece of I/O work is done at most so much after it is asked for; 0: at any time. What a
    /// snapshot has frozen then waits while records go on.
    std::chrono::milliseconds io_delay{0};
    /// What goes on beside the processes, such as the merging of files in their databases: asked in every 16th step,
    /// and says what it has done, empty if nothing. May be left out.
    std::function<std::string()> beside;
    /// What a JobManager and a TaskManager say to each other goes over links, which can be cut, delay, lose and repeat
    /// messages; without, it arrives as it is.
    bool links = false;
    /// Called with each line of the trace and of the logs; may be empty.
    std::function<void(const std::string& line)> trace;
    /// Asked in the process called `process` as a message is handed to an actor there; true: it is lost. May call
    /// `doom`. May be empty.
    std::function<bool(const DeliveryRecord& record, const std::string& process)> on_delivery;
    /// As `SimulatedLink::decide`, of every link; may be empty.
    std::function<SimulatedLink::Deed(const DeliveryRecord& message)> on_link;
    /// Called after each operation of a process on the disk; may be empty.
    std::function<void(const FileEvent& event)> on_file;
    /// Called when the host has crashed, with what is left on its disk; may be empty.
    std::function<void()> on_host_crash;
    /// Called before each step of a task, and when it is `over`; may be empty.
    std::function<void(const TaskEnvironment& task, bool over)> on_task_step;
    /// What a process sees instead of its files; may be empty.
    std::function<std::unique_ptr<FileSystem>(FileSystem& files, SimulatedDisk& disk)> overlay;
    // What follows may be left out. It stands in for production code, to see whether that is noticed.
    /// What a process sees instead of its files.
    std::function<std::unique_ptr<FileSystem>(FileSystem&)> alter_files;
    std::function<std::shared_ptr<CheckpointStorage>(FileSystem&, Random&)> make_storage;
    /// Makes an actor that passes on what a JobManager says to a TaskManager.
    std::function<TaskManagerInterface(caf::actor_system&, const TaskManagerInterface&)> between;
  };
  explicit SimulatedCluster(Settings settings);
  ~SimulatedCluster();
  SimulatedCluster(const SimulatedCluster&) = delete;
  SimulatedCluster& operator=(const SimulatedCluster&) = delete;

  // ---- processes

  /// Requires that none runs.
  void start_job_manager();
  /// A new TaskManager, which registers with the running JobManager. Returns its id, never used before.
  TaskManagerId start_task_manager(std::uint32_t slots);
  [[nodiscard]] bool has_job_manager() const { return job_manager_ != nullptr; }
  [[nodiscard]] std::vector<TaskManagerId> task_managers() const;
  /// Ends a process between two steps.
  void crash_job_manager();
  void crash_task_manager(TaskManagerId id);
  /// Ends the process in which the `operations`-th file operation from now happens, of those that `counts` says yes
  /// to, right after it: also in the middle of a checkpoint's files. Nothing happens if there are fewer. Without
  /// `counts` all count.
  void crash_at_file_operation(std::uint64_t operations,
                               std::function<bool(const FileEvent&)> counts = {});
  /// The process ends when the present step is over, or, `at_once`, does nothing any more already in it.
  void doom(const std::string& process, bool at_once);
  /// The name of the process that the actor called `endpoint` is in; empty: none that runs, or a client.
  [[nodiscard]] std::string process_of(const Endpoint& endpoint);
  /// The host goes down: all processes end, and what was not synced is lost or not, as drawn.
  void crash_host();
  /// The most messages that have waited for one actor at a time.
  [[nodiscard]] std::size_t longest_mailbox() const { return longest_mailbox_; }
  [[nodiscard]] bool is_running(const std::string& process);
  /// Whether a file operation is still to come that ends its process.
  [[nodiscard]] bool is_crash_to_come() const { return operations_to_crash_.has_value(); }

  // ---- faults that leave a process alive. None: the JobManager's

  /// The process does nothing for so long.
  void pause(std::optional<TaskManagerId> id, std::chrono::nanoseconds length);
  /// The process's I/O work waits for so long.
  void stall_disk(std::optional<TaskManagerId> id, std::chrono::nanoseconds length);
  /// The process's wall clock jumps, and with it nothing else.
  void jump_clock(std::optional<TaskManagerId> id, std::chrono::milliseconds by);
  /// What goes from the JobManager to the TaskManager, and the other way. Null without links, or if it has crashed.
  [[nodiscard]] SimulatedLink* link_to(TaskManagerId id);
  [[nodiscard]] SimulatedLink* link_from(TaskManagerId id);
  /// Between TaskManagers that records have connected, there and back.
  [[nodiscard]] std::vector<std::pair<SimulatedLink*, SimulatedLink*>> record_links() const {
    return records_.links();
  }
  /// Ends all of these faults.
  void heal();
  /// Time passes at this pace from now on (see `Settings::pace`).
  void set_pace(std::chrono::milliseconds pace) { settings_.pace = pace; }

  // ---- clients

  /// An answer, once it is there.
  template <class R>
  using Awaited = std::shared_ptr<std::optional<Result<R>>>;
  /// Sends a request to the JobManager; `timed_out` after `limit` of virtual time. Requires
  /// `has_job_manager()`.
  template <class R, class M>
  Awaited<R> ask(M message, std::chrono::milliseconds limit) {
    auto answer = std::make_shared<std::optional<Result<R>>>();
    // The handle is an argument because CAF 0.17 dereferences a null tuple for actors that have none.
    const auto client = [answer, limit, message = std::move(message)](
                            caf::event_based_actor* self, const JobManagerInterface& to) {
      self->request(to, limit, Envelope<M>{client_endpoint(), job_manager_endpoint(), message})
          .then(
              [answer](const Envelope<Reply<R>>& reply) {
                if (reply.message.value)
                  *answer = *reply.message.value;
                else
                  *answer = std::unexpected(reply.message.error);
              },
              [answer](const caf::error&) { *answer = error(Errc::timed_out, "no answer came"); });
    };
    clients_.push_back(caf::actor_cast<caf::actor>(system_->spawn(client, job_manager())));
    return answer;
  }

  // ---- time

  /// Does one thing that can be done, or moves time on. False if nothing will ever happen again.
  bool step();
  [[nodiscard]] MonotonicTime now() const { return clock_.now(); }
  [[nodiscard]] const Clock& clock() const { return clock_; }
  /// Whether no task has records to work on.
  [[nodiscard]] bool tasks_rest();
  /// Steps so far.
  [[nodiscard]] std::uint64_t steps() const { return steps_; }
  /// Writes a line into the trace.
  void tell(const std::string& line) { note(line); }

  [[nodiscard]] SimulatedDisk& disk() { return *disk_; }
  /// Of the delivered messages, steps and crashes so far.
  [[nodiscard]] std::uint64_t trace_hash() const { return trace_hash_; }
  /// The last lines of what the hash is of, and of the logs, for people who look for a failure.
  [[nodiscard]] const std::deque<std::string>& recent() const { return recent_; }
  /// A file system of a process of its own, for whoever looks from outside.
  [[nodiscard]] std::unique_ptr<SimulatedFileSystem> outside() const;

 private:
  class VirtualClock final : public Clock {
   public:
    [[nodiscard]] MonotonicTime now() const override;
    [[nodiscard]] WallTime wall_now() const override;
    caf::scheduler::test_coordinator* scheduler = nullptr;
  };
  /// The clock of one process, whose wall time may have jumped.
  class ProcessClock final : public Clock {
   public:
    explicit ProcessClock(const Clock& host) : host_(host) {}
    [[nodiscard]] MonotonicTime now() const override { return host_.now(); }
    [[nodiscard]] WallTime wall_now() const override { return host_.wall_now() + jumped; }
    std::chrono::milliseconds jumped{0};

   private:
    const Clock& host_;
  };
  /// Nobody reads what a simulated process prints, and nobody types.
  class NoStreams final : public StandardStreams {
   public:
    Status print(std::string_view) override { return {}; }
    Result<std::unique_ptr<ByteFeed>> read_input(std::function<void()>) override {
      return error(Errc::unsupported,
                   "a simulation has no standard input: let the job read a file instead");
    }
  };
  /// Work of a process that waits for the seed to choose it.
  class Queue final : public IoExecutor {
   public:
    explicit Queue(std::function<MonotonicTime()> due) : due_(std::move(due)) {}
    void submit(std::function<void()> one) override { work.push_back({due_(), std::move(one)}); }
    struct Work {
      MonotonicTime due;  ///< not before
      std::function<void()> one;
    };
    /// The indices of what can be done at `now`.
    [[nodiscard]] std::vector<std::size_t> due_at(MonotonicTime now) const;
    std::deque<Work> work;

   private:
    const std::function<MonotonicTime()> due_;
  };
  class Stepper final : public TaskExecutor {
   public:
    Status start(std::shared_ptr<StreamTask> task) override {
      tasks.push_back({std::move(task), true, true});
      return {};
    }
    struct Running {
      std::shared_ptr<StreamTask> task;
      bool may_move;  ///< it was not idle the last time, or something has happened since
      bool may_have_records =
          true;  ///< it had the last time, or a neighbour may have sent some since
    };
    std::vector<Running> tasks;
  };
  struct SimulatedProcess;

  [[nodiscard]] JobManagerInterface job_manager() const;
  /// With connections for records if it is that of the TaskManager `id`.
  std::unique_ptr<SimulatedProcess> make_process(const std::string& name,
                                                 std::optional<TaskManagerId> id = std::nullopt);
  void crash(std::unique_ptr<SimulatedProcess> process);
  /// Null if it does not run. None: the JobManager.
  [[nodiscard]] SimulatedProcess* find(std::optional<TaskManagerId> id);
  /// Does `work`, in which the process called `name` may start actors.
  void own(const std::string& name, const std::function<void()>& work);
  [[nodiscard]] bool is_paused(const SimulatedProcess& process) const;
  /// Whether the actor waits because its process is paused.
  [[nodiscard]] bool is_paused(const caf::resumable* actor);
  std::shared_ptr<SimulatedLink> make_link(const std::string& from, const std::string& to);
  /// The processes that run, in the order of their start.
  [[nodiscard]] std::vector<SimulatedProcess*> running();
  void note(const std::string& line);
  /// What the trace does not show in words.
  void note_bytes(std::string_view bytes);
  bool run_actor();
  bool run_io();
  /// When I/O work that is asked for now can be done.
  [[nodiscard]] MonotonicTime io_due();
  bool run_task();
  bool run_link();
  bool run_records();
  /// That run and have something to do for records.
  [[nodiscard]] std::vector<SimulatedProcess*> with_record_work();
  /// All links, of messages and of records.
  [[nodiscard]] std::vector<SimulatedLink*> all_links();
  /// To the next time for which somebody waits, or to `latest` if that is before it. False if nobody waits, and
  /// no `latest` is given.
  bool move_time(std::optional<MonotonicTime> latest = std::nullopt);
  /// Something has happened that any task may have waited for.
  void wake_tasks();
  /// Ends what crashed in the middle of a step.
  void bury();

  Settings settings_;
  SeededRandom random_;
  std::shared_ptr<SimulatedDisk> disk_ = std::make_shared<SimulatedDisk>();
  caf::actor_system_config config_;
  std::unique_ptr<caf::actor_system> system_;
  VirtualClock clock_;
  NoStreams streams_;
  SimulatedRecordNetwork records_{clock_, [this](const std::string& line) { note(line); },
                                  [this](std::string_view bytes) { note_bytes(bytes); }};
  /// The names of the processes that actors belong to, by the actors' ids.
  std::map<caf::actor_id, std::string> owners_;
  std::uint64_t steps_ = 0;
  std::size_t longest_mailbox_ = 0;
  MonotonicTime last_pause_until_;  ///< no process is paused from here on
  std::unique_ptr<SimulatedProcess> job_manager_;
  std::map<TaskManagerId, std::unique_ptr<SimulatedProcess>> task_managers_;
  std::uint32_t next_task_manager_ = 1;
  std::vector<std::unique_ptr<SimulatedProcess>> dead_;  ///< their actors may not have noticed yet
  std::vector<caf::actor> clients_;                      ///< and what stands between processes
  std::optional<std::uint64_t> operations_to_crash_;
  std::function<bool(const FileEvent&)> counts_to_crash_;
  std::string crashed_in_step_;  ///< name of the process that ended in the middle of one
  std::uint64_t trace_hash_ = 0;
  std::deque<std::string> recent_;
};

}  // namespace weir
