#include "simulation/simulated_cluster.hpp"

#include <algorithm>

#include "state/key_groups.hpp"

namespace weir {

namespace {

constexpr std::size_t recent_lines = 400;
constexpr std::uint64_t steps_beside = 16;

}  // namespace

struct SimulatedCluster::SimulatedProcess {
  SimulatedProcess(std::string process_name, std::shared_ptr<SimulatedDisk> disk,
                   std::uint64_t seed, const Clock& clock, const Settings& settings,
                   std::function<void(const std::string&)> trace,
                   std::function<MonotonicTime()> io_due)
      : name(std::move(process_name)),
        files(std::move(disk), name),
        altered_files(settings.alter_files ? settings.alter_files(files) : nullptr),
        random(seed),
        storage(settings.make_storage
                    ? settings.make_storage(seen_files(), random)
                    : std::make_shared<FileCheckpointStorage>(seen_files(), random)),
        io(std::move(io_due)),
        delivery(clock, std::move(trace)) {
    delivery.set_filter([this](const DeliveryRecord&) { return ended; });
  }
  /// From here on it is as if it had never existed, but for what it has sent and written.
  void end() {
    ended = true;
    files.end_process();
  }

  [[nodiscard]] FileSystem& seen_files() {
    return altered_files ? *altered_files : static_cast<FileSystem&>(files);
  }

  bool ended = false;  ///< its actors hear nothing any more

  std::string name;
  SimulatedFileSystem files;
  const std::unique_ptr<FileSystem> altered_files;
  SeededRandom random;
  std::shared_ptr<CheckpointStorage> storage;
  Queue io;
  Stepper tasks;
  Delivery delivery;
  std::unique_ptr<Process> process;  // last: its actors use all above
};

MonotonicTime SimulatedCluster::VirtualClock::now() const {
  if (scheduler == nullptr) return {};
  return MonotonicTime(std::chrono::duration_cast<std::chrono::nanoseconds>(
      scheduler->clock().now().time_since_epoch()));
}

WallTime SimulatedCluster::VirtualClock::wall_now() const {
  return WallTime(std::chrono::duration_cast<std::chrono::milliseconds>(now().time_since_epoch()));
}

SimulatedCluster::SimulatedCluster(Settings settings)
    : settings_(std::move(settings)), random_(settings_.seed) {
  configure_actor_system(config_);
  config_.set("scheduler.policy", caf::atom("testing"));
  system_ = std::make_unique<caf::actor_system>(config_);
  clock_.scheduler = &dynamic_cast<caf::scheduler::test_coordinator&>(system_->scheduler());
  disk_->observe([this](const FileEvent& event) {
    if (!operations_to_crash_ || event.process.empty() || --*operations_to_crash_ > 0) return;
    operations_to_crash_.reset();
    crashed_in_step_ = event.process;
    for (SimulatedProcess* process : running())
      if (process->name == event.process) process->end();
  });
}

SimulatedCluster::~SimulatedCluster() {
  crash_host();
  // A client that still waits for an answer would keep the system from ending.
  for (const caf::actor& client : clients_) caf::anon_send_exit(client, caf::exit_reason::kill);
  clients_.clear();
  clock_.scheduler->run();
  system_.reset();
  dead_.clear();
}

JobManagerInterface SimulatedCluster::job_manager() const {
  return job_manager_->process->job_manager();
}

std::unique_ptr<SimulatedCluster::SimulatedProcess> SimulatedCluster::make_process(
    const std::string& name) {
  auto made = std::make_unique<SimulatedProcess>(
      name, disk_, random_.next(), clock_, settings_,
      [this, name](const std::string& line) { note(name + " " + line); },
      [this] { return io_due(); });
  ProcessSeams seams;
  seams.clock = &clock_;
  seams.random = &made->random;
  seams.files = &made->seen_files();
  seams.storage = made->storage;
  seams.io = &made->io;
  seams.executor = &made->tasks;
  seams.delivery = &made->delivery;
  seams.libraries = settings_.libraries;
  seams.make_backend = settings_.make_backend;
  seams.log = [this, name](const std::string& level, const std::string& text) {
    note(name + " " + level + ": " + text);
  };
  // A process that gives itself up is one more way of crashing.
  seams.fatal = [this, name](const std::string& why) {
    note(name + " ends itself: " + why);
    crashed_in_step_ = name;
  };
  ProcessSettings process_settings;
  process_settings.configuration = settings_.configuration;
  process_settings.temporary_directory = "/temporary/" + name;
  made->process =
      std::make_unique<Process>(*system_, std::move(seams), std::move(process_settings));
  return made;
}

void SimulatedCluster::start_job_manager() {
  WEIR_ASSERT(job_manager_ == nullptr);
  job_manager_ = make_process("JobManager-" + std::to_string(random_.below(1000000)));
  job_manager_->process->start_job_manager();
  note("start " + job_manager_->name);
}

TaskManagerId SimulatedCluster::start_task_manager(std::uint32_t slots) {
  WEIR_ASSERT(job_manager_ != nullptr);
  const TaskManagerId id{next_task_manager_++};
  auto made = make_process("TaskManager-" + std::to_string(id.value));
  made->process->start_task_manager(id, slots, job_manager_->process->job_manager());
  TaskManagerInterface reached = made->process->task_manager();
  if (settings_.between) {
    reached = settings_.between(*system_, reached);
    clients_.push_back(caf::actor_cast<caf::actor>(reached));
  }
  job_manager_->process->add_task_manager(id, reached);
  note("start " + made->name);
  task_managers_[id] = std::move(made);
  return id;
}

std::vector<TaskManagerId> SimulatedCluster::task_managers() const {
  std::vector<TaskManagerId> ids;
  for (const auto& [id, process] : task_managers_) ids.push_back(id);
  return ids;
}

void SimulatedCluster::crash(std::unique_ptr<SimulatedProcess> process) {
  note("crash " + process->name);
  process->end();
  process->io.work.clear();
  process->tasks.tasks.clear();
  process->process.reset();
  dead_.push_back(std::move(process));
}

void SimulatedCluster::crash_job_manager() { crash(std::move(job_manager_)); }

void SimulatedCluster::crash_task_manager(TaskManagerId id) {
  auto node = task_managers_.extract(id);
  if (job_manager_ != nullptr) job_manager_->process->remove_task_manager(id);
  crash(std::move(node.mapped()));
}

void SimulatedCluster::crash_at_file_operation(std::uint64_t operations) {
  operations_to_crash_ = operations;
}

void SimulatedCluster::crash_host() {
  for (const TaskManagerId id : task_managers()) crash_task_manager(id);
  if (job_manager_ != nullptr) crash_job_manager();
  operations_to_crash_.reset();
  crashed_in_step_.clear();
  disk_->crash(random_);
}

std::unique_ptr<SimulatedFileSystem> SimulatedCluster::outside() const {
  return std::make_unique<SimulatedFileSystem>(disk_);
}

std::vector<SimulatedCluster::SimulatedProcess*> SimulatedCluster::running() {
  std::vector<SimulatedProcess*> all;
  if (job_manager_ != nullptr) all.push_back(job_manager_.get());
  for (const auto& [id, process] : task_managers_) all.push_back(process.get());
  return all;
}

void SimulatedCluster::note(const std::string& line) {
  trace_hash_ = hash_bytes(std::to_string(trace_hash_) + line);
  recent_.push_back(line);
  if (recent_.size() > recent_lines) recent_.pop_front();
}

bool SimulatedCluster::step() {
  bury();
  if (settings_.beside && random_.one_in(steps_beside))
    if (const std::string done = settings_.beside(); !done.empty()) note(done);
  if (settings_.pace.count() > 0 && random_.one_in(8)) {
    const std::chrono::microseconds most = settings_.pace;
    return move_time(now() + std::chrono::microseconds(
                                 random_.below(static_cast<std::uint64_t>(most.count()) + 1)));
  }
  // Whatever can happen has its turn, in an order that the seed draws.
  const std::uint64_t first = random_.below(3);
  for (std::uint64_t i = 0; i < 3; ++i) {
    const std::uint64_t kind = (first + i) % 3;
    if (kind == 0 ? run_actor() : kind == 1 ? run_io() : run_task()) {
      bury();
      return true;
    }
  }
  return move_time();
}

bool SimulatedCluster::run_actor() {
  auto& jobs = clock_.scheduler->jobs;
  if (jobs.empty()) return false;
  std::swap(jobs.front(), jobs[random_.below(jobs.size())]);
  clock_.scheduler->run_once();
  wake_tasks();
  return true;
}

void SimulatedCluster::wake_tasks() {
  for (SimulatedProcess* process : running())
    for (Stepper::Running& task : process->tasks.tasks) task.may_move = true;
}

std::vector<std::size_t> SimulatedCluster::Queue::due_at(MonotonicTime now) const {
  std::vector<std::size_t> due;
  for (std::size_t i = 0; i < work.size(); ++i)
    if (work[i].due <= now) due.push_back(i);
  return due;
}

MonotonicTime SimulatedCluster::io_due() {
  if (settings_.io_delay.count() == 0) return now();
  const std::chrono::microseconds most = settings_.io_delay;
  return now() +
         std::chrono::microseconds(random_.below(static_cast<std::uint64_t>(most.count()) + 1));
}

bool SimulatedCluster::run_io() {
  std::vector<std::pair<Queue*, std::vector<std::size_t>>> busy;
  for (SimulatedProcess* process : running())
    if (auto due = process->io.due_at(now()); !due.empty())
      busy.emplace_back(&process->io, std::move(due));
  if (busy.empty()) return false;
  const auto& [queue, due] = busy[random_.below(busy.size())];
  const auto chosen =
      queue->work.begin() + static_cast<std::ptrdiff_t>(due[random_.below(due.size())]);
  const auto one = std::move(chosen->one);
  queue->work.erase(chosen);
  one();
  wake_tasks();
  return true;
}

bool SimulatedCluster::run_task() {
  std::vector<std::pair<SimulatedProcess*, std::size_t>> movable;
  for (SimulatedProcess* process : running())
    for (std::size_t i = 0; i < process->tasks.tasks.size(); ++i)
      if (process->tasks.tasks[i].may_move) movable.emplace_back(process, i);
  if (movable.empty()) return false;
  const auto [process, index] = movable[random_.below(movable.size())];
  auto& tasks = process->tasks.tasks;
  const std::shared_ptr<StreamTask> task = tasks[index].task;
  const StepResult result = task->step();
  if (result == StepResult::finished) {
    tasks.erase(tasks.begin() + static_cast<std::ptrdiff_t>(index));
  } else if (result == StepResult::busy) {
    // Its neighbours may have input or room now.
    for (Stepper::Running& other : tasks) other.may_move = true;
  } else {
    tasks[index].may_move = false;
  }
  return true;
}

bool SimulatedCluster::move_time(std::optional<MonotonicTime> latest) {
  std::optional<MonotonicTime> wake = latest;
  for (SimulatedProcess* process : running())
    for (const Queue::Work& work : process->io.work)
      if (work.due > now() && (!wake || work.due < *wake)) wake = work.due;
  for (SimulatedProcess* process : running())
    for (const Stepper::Running& task : process->tasks.tasks)
      if (const auto time = task.task->wake_time(); time && (!wake || *time < *wake)) wake = time;
  auto& clock = clock_.scheduler->clock();
  const bool has_timeout = clock.has_pending_timeout();
  if (!wake && !has_timeout) return false;
  const auto timeout_comes_first = [&] {
    const auto due = std::chrono::duration_cast<std::chrono::nanoseconds>(
        clock.schedule().begin()->first.time_since_epoch());
    return !wake || MonotonicTime(due) <= *wake;
  };
  if (has_timeout && timeout_comes_first())
    clock.trigger_timeout();
  else if (*wake > clock_.now())
    clock.current_time = caf::actor_clock::time_point(
        std::chrono::duration_cast<caf::actor_clock::duration_type>(wake->time_since_epoch()));
  wake_tasks();
  return true;
}

void SimulatedCluster::bury() {
  if (crashed_in_step_.empty()) return;
  const std::string name = std::exchange(crashed_in_step_, {});
  if (job_manager_ != nullptr && job_manager_->name == name) {
    crash_job_manager();
    return;
  }
  for (const auto& [id, process] : task_managers_)
    if (process->name == name) {
      crash_task_manager(id);
      return;
    }
}

}  // namespace weir
