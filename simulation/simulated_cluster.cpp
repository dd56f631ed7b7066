#include "simulation/simulated_cluster.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "state/key_groups.hpp"

namespace weir {

namespace {

constexpr std::size_t recent_lines = 400;
constexpr std::uint64_t steps_beside = 16;

}  // namespace

struct SimulatedCluster::SimulatedProcess {
  SimulatedProcess(std::string process_name, std::shared_ptr<SimulatedDisk> disk,
                   std::uint64_t seed, const Clock& host_clock, const Settings& settings,
                   std::function<void(const std::string&)> trace,
                   std::function<MonotonicTime()> io_due)
      : name(std::move(process_name)),
        clock(host_clock),
        files(disk, name),
        altered_files(settings.alter_files ? settings.alter_files(files) : nullptr),
        overlay(settings.overlay ? settings.overlay(seen_files(), *disk) : nullptr),
        random(seed),
        storage(settings.make_storage
                    ? settings.make_storage(seen_files(), random)
                    : std::make_shared<FileCheckpointStorage>(seen_files(), random)),
        io(std::move(io_due)),
        delivery(clock, std::move(trace)) {
    delivery.set_filter([this, asked = settings.on_delivery](const DeliveryRecord& record) {
      return ended || (asked && asked(record, name)) || ended;
    });
  }
  /// From here on it is as if it had never existed, but for what it has sent and written.
  void end() {
    ended = true;
    files.end_process();
  }

  /// What the operators see.
  [[nodiscard]] FileSystem& job_files() { return overlay ? *overlay : seen_files(); }
  [[nodiscard]] FileSystem& seen_files() {
    return altered_files ? *altered_files : static_cast<FileSystem&>(files);
  }

  bool ended = false;  ///< its actors hear nothing any more

  std::string name;
  ProcessClock clock;
  SimulatedFileSystem files;
  const std::unique_ptr<FileSystem> altered_files;
  const std::unique_ptr<FileSystem> overlay;
  MonotonicTime paused_until;
  MonotonicTime disk_stalled_until;
  /// From and to the JobManager, of a TaskManager; null without links.
  std::shared_ptr<SimulatedLink> to_here;
  std::shared_ptr<SimulatedLink> from_here;
  SeededRandom random;
  std::shared_ptr<CheckpointStorage> storage;
  Queue io;
  Stepper tasks;
  Delivery delivery;
  std::unique_ptr<RecordExchange> records;  ///< of a TaskManager
  std::unique_ptr<Process> process;         // last: its actors use all above
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
    if (settings_.on_file && !event.process.empty()) settings_.on_file(event);
    if (!operations_to_crash_ || event.process.empty()) return;
    if ((counts_to_crash_ && !counts_to_crash_(event)) || --*operations_to_crash_ > 0) return;
    operations_to_crash_.reset();
    crashed_in_step_ = event.process;
    for (SimulatedProcess* process : running())
      if (process->name == event.process) process->end();
  });
}

SimulatedCluster::~SimulatedCluster() {
  // Whoever listens may be gone in part.
  settings_.on_file = nullptr;
  settings_.on_host_crash = nullptr;
  settings_.on_task_step = nullptr;
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
    const std::string& name, std::optional<TaskManagerId> id) {
  auto made = std::make_unique<SimulatedProcess>(
      name, disk_, random_.next(), clock_, settings_,
      [this, name](const std::string& line) { note(name + " " + line); },
      [this] { return io_due(); });
  if (id) {
    const ProcessConfig& config = settings_.configuration.process();
    made->records = std::make_unique<RecordExchange>(
        *id, records_.transport_of(*id), made->clock,
        RecordConnectionSettings{config.heartbeat_interval, config.heartbeat_timeout},
        [this, name](const std::string& text) { note(name + " info: " + text); });
    records_.add(*id, *made->records);
  }
  ProcessSeams seams;
  seams.records = made->records.get();
  seams.clock = &made->clock;
  seams.random = &made->random;
  seams.files = &made->job_files();
  seams.standard_streams = &streams_;
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
  own(name, [&] {
    made->process =
        std::make_unique<Process>(*system_, std::move(seams), std::move(process_settings));
  });
  return made;
}

void SimulatedCluster::start_job_manager() {
  WEIR_ASSERT(job_manager_ == nullptr);
  job_manager_ = make_process("JobManager-" + std::to_string(random_.below(1000000)));
  own(job_manager_->name, [&] { job_manager_->process->start_job_manager(); });
  note("start " + job_manager_->name);
}

TaskManagerId SimulatedCluster::start_task_manager(std::uint32_t slots) {
  WEIR_ASSERT(job_manager_ != nullptr);
  const TaskManagerId id{next_task_manager_++};
  auto made = make_process("TaskManager-" + std::to_string(id.value), id);
  JobManagerInterface told = job_manager_->process->job_manager();
  if (settings_.links) {
    made->to_here = make_link("JobManager", made->name);
    made->from_here = make_link(made->name, "JobManager");
    told = spawn_link(*system_, told, made->from_here, made->to_here);
    clients_.push_back(caf::actor_cast<caf::actor>(told));
  }
  own(made->name, [&] { made->process->start_task_manager(id, slots, told); });
  TaskManagerInterface reached = made->process->task_manager();
  if (settings_.links) {
    reached = spawn_link(*system_, reached, made->to_here, made->from_here);
    clients_.push_back(caf::actor_cast<caf::actor>(reached));
  }
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
  for (const auto& link : {process->to_here, process->from_here})
    if (link) link->clear();
  process->io.work.clear();
  process->tasks.tasks.clear();
  process->process.reset();
  dead_.push_back(std::move(process));
}

void SimulatedCluster::crash_job_manager() { crash(std::move(job_manager_)); }

void SimulatedCluster::crash_task_manager(TaskManagerId id) {
  auto node = task_managers_.extract(id);
  if (job_manager_ != nullptr) job_manager_->process->remove_task_manager(id);
  records_.remove(id, records_.is_connected(id) && random_.one_in(2));
  crash(std::move(node.mapped()));
}

void SimulatedCluster::doom(const std::string& process, bool at_once) {
  crashed_in_step_ = process;
  for (SimulatedProcess* one : running())
    if (at_once && one->name == process) one->end();
}

std::string SimulatedCluster::process_of(const Endpoint& endpoint) {
  switch (endpoint.kind) {
    case EndpointKind::client:
      return {};
    case EndpointKind::job_manager:
    case EndpointKind::checkpoint_coordinator:
      return job_manager_ == nullptr ? "" : job_manager_->name;
    case EndpointKind::task_manager: {
      const SimulatedProcess* process = find(TaskManagerId{endpoint.number});
      return process == nullptr ? "" : process->name;
    }
    case EndpointKind::task:
      for (const auto& [id, process] : task_managers_)
        for (const Stepper::Running& one : process->tasks.tasks) {
          const ExecutionId& execution = one.task->environment().execution;
          if (execution.vertex == endpoint.number && execution.subtask == endpoint.subtask)
            return process->name;
        }
      return {};
  }
  return {};
}

void SimulatedCluster::crash_at_file_operation(std::uint64_t operations,
                                               std::function<bool(const FileEvent&)> counts) {
  operations_to_crash_ = operations;
  counts_to_crash_ = std::move(counts);
}

void SimulatedCluster::crash_host() {
  for (const TaskManagerId id : task_managers()) crash_task_manager(id);
  if (job_manager_ != nullptr) crash_job_manager();
  operations_to_crash_.reset();
  crashed_in_step_.clear();
  disk_->crash(random_);
  if (settings_.on_host_crash) settings_.on_host_crash();
}

std::unique_ptr<SimulatedFileSystem> SimulatedCluster::outside() const {
  return std::make_unique<SimulatedFileSystem>(disk_);
}

bool SimulatedCluster::is_running(const std::string& process) {
  return std::ranges::any_of(running(), [&](const auto* one) { return one->name == process; });
}

std::vector<SimulatedCluster::SimulatedProcess*> SimulatedCluster::running() {
  std::vector<SimulatedProcess*> all;
  if (job_manager_ != nullptr) all.push_back(job_manager_.get());
  for (const auto& [id, process] : task_managers_) all.push_back(process.get());
  return all;
}

void SimulatedCluster::note_bytes(std::string_view bytes) {
  trace_hash_ = hash_bytes(std::to_string(trace_hash_) + std::to_string(hash_bytes(bytes)));
}

void SimulatedCluster::note(const std::string& line) {
  trace_hash_ = hash_bytes(std::to_string(trace_hash_) + line);
  if (settings_.trace) settings_.trace(line);
  recent_.push_back(line);
  if (recent_.size() > recent_lines) recent_.pop_front();
}

bool SimulatedCluster::is_paused(const SimulatedProcess& process) const {
  return clock_.now() < process.paused_until;
}

bool SimulatedCluster::is_paused(const caf::resumable* actor) {
  if (now() >= last_pause_until_) return false;
  const auto* const local = dynamic_cast<const caf::local_actor*>(actor);
  if (local == nullptr) return false;
  const auto owner = owners_.find(local->id());
  if (owner == owners_.end()) return false;
  for (const SimulatedProcess* process : running())
    if (process->name == owner->second) return is_paused(*process);
  return false;
}

void SimulatedCluster::own(const std::string& name, const std::function<void()>& work) {
  const caf::actor_id before = system_->latest_actor_id();
  work();
  for (caf::actor_id id = before + 1; id <= system_->latest_actor_id(); ++id) owners_[id] = name;
}

SimulatedCluster::SimulatedProcess* SimulatedCluster::find(std::optional<TaskManagerId> id) {
  if (!id) return job_manager_.get();
  const auto found = task_managers_.find(*id);
  return found == task_managers_.end() ? nullptr : found->second.get();
}

std::shared_ptr<SimulatedLink> SimulatedCluster::make_link(const std::string& from,
                                                           const std::string& to) {
  auto link = std::make_shared<SimulatedLink>(from + " -> " + to, clock_);
  link->on_fault = [this, name = link->name()](const std::string& what) {
    note(name + ": " + what);
  };
  link->decide = settings_.on_link;
  return link;
}

void SimulatedCluster::pause(std::optional<TaskManagerId> id, std::chrono::nanoseconds length) {
  if (SimulatedProcess* process = find(id)) {
    process->paused_until = now() + length;
    last_pause_until_ = std::max(last_pause_until_, process->paused_until);
    note("pause " + process->name);
  }
}

void SimulatedCluster::stall_disk(std::optional<TaskManagerId> id,
                                  std::chrono::nanoseconds length) {
  if (SimulatedProcess* process = find(id)) {
    process->disk_stalled_until = now() + length;
    note("stall the disk of " + process->name);
  }
}

void SimulatedCluster::jump_clock(std::optional<TaskManagerId> id, std::chrono::milliseconds by) {
  if (SimulatedProcess* process = find(id)) {
    process->clock.jumped += by;
    note("the clock of " + process->name + " jumps by " + std::to_string(by.count()) + " ms");
  }
}

SimulatedLink* SimulatedCluster::link_to(TaskManagerId id) {
  SimulatedProcess* const process = find(id);
  return process == nullptr ? nullptr : process->to_here.get();
}

SimulatedLink* SimulatedCluster::link_from(TaskManagerId id) {
  SimulatedProcess* const process = find(id);
  return process == nullptr ? nullptr : process->from_here.get();
}

void SimulatedCluster::heal() {
  operations_to_crash_.reset();
  for (SimulatedProcess* process : running())
    process->paused_until = process->disk_stalled_until = {};
  for (SimulatedLink* link : all_links()) link->heal();
}

std::vector<SimulatedLink*> SimulatedCluster::all_links() {
  std::vector<SimulatedLink*> all;
  for (SimulatedProcess* process : running())
    for (const auto& link : {process->to_here, process->from_here})
      if (link) all.push_back(link.get());
  for (const auto& [there, back] : records_.links()) all.insert(all.end(), {there, back});
  return all;
}

bool SimulatedCluster::tasks_rest() {
  const bool links_rest = std::ranges::all_of(records_.links(), [](const auto& pair) {
    return !pair.first->next_arrival() && !pair.second->next_arrival();
  });
  return links_rest && std::ranges::all_of(running(), [](const SimulatedProcess* process) {
           const bool records_rest = process->records == nullptr ||
                                     (!process->records->has_work() && process->records->rests());
           return records_rest &&
                  std::ranges::none_of(process->tasks.tasks, &Stepper::Running::may_have_records);
         });
}

bool SimulatedCluster::step() {
  ++steps_;
  bury();
  if (settings_.beside && steps_ % steps_beside == 0)
    if (const std::string done = settings_.beside(); !done.empty()) note(done);
  if (settings_.pace.count() > 0 && random_.one_in(8)) {
    const std::chrono::microseconds most = settings_.pace;
    return move_time(now() + std::chrono::microseconds(
                                 random_.below(static_cast<std::uint64_t>(most.count()) + 1)));
  }
  // Whatever can happen has its turn, in an order that the seed draws.
  using Kind = bool (SimulatedCluster::*)();
  std::array<Kind, 5> kinds{&SimulatedCluster::run_actor, &SimulatedCluster::run_io,
                            &SimulatedCluster::run_task};
  std::size_t count = 3;
  if (settings_.links) kinds[count++] = &SimulatedCluster::run_link;
  if (!with_record_work().empty()) kinds[count++] = &SimulatedCluster::run_records;
  const std::uint64_t first = random_.below(count);
  for (std::size_t i = 0; i < count; ++i) {
    if ((this->*kinds[(first + i) % count])()) {
      bury();
      return true;
    }
  }
  return move_time();
}

std::vector<SimulatedCluster::SimulatedProcess*> SimulatedCluster::with_record_work() {
  std::vector<SimulatedProcess*> busy = running();
  std::erase_if(busy, [&](const SimulatedProcess* process) {
    return process->records == nullptr || is_paused(*process) || !process->records->has_work();
  });
  return busy;
}

bool SimulatedCluster::run_records() {
  const std::vector<SimulatedProcess*> busy = with_record_work();
  if (busy.empty()) return false;
  SimulatedProcess& process = *busy[random_.below(busy.size())];
  process.records->step();
  // Its tasks may have input or room now, or may have lost a channel.
  for (Stepper::Running& task : process.tasks.tasks) task.may_move = task.may_have_records = true;
  return true;
}

bool SimulatedCluster::run_actor() {
  auto& jobs = clock_.scheduler->jobs;
  // Those that wait for their process stay behind.
  const auto ready = std::stable_partition(
      jobs.begin(), jobs.end(), [&](const caf::resumable* job) { return !is_paused(job); });
  if (ready == jobs.begin()) return false;
  const auto among = static_cast<std::uint64_t>(ready - jobs.begin());
  std::swap(jobs.front(), jobs[random_.below(among)]);
  auto* const chosen = dynamic_cast<caf::scheduled_actor*>(jobs.front());
  if (chosen != nullptr) longest_mailbox_ = std::max(longest_mailbox_, chosen->mailbox().size());
  const auto owner = chosen == nullptr ? owners_.end() : owners_.find(chosen->id());
  const std::string name = owner == owners_.end() ? "" : owner->second;
  own(name, [&] { clock_.scheduler->run_once(); });
  wake_tasks();
  return true;
}

bool SimulatedCluster::run_link() {
  std::vector<SimulatedLink*> due = all_links();
  std::erase_if(due, [&](const SimulatedLink* link) {
    return !link->next_arrival() || *link->next_arrival() > now();
  });
  if (due.empty()) return false;
  due[random_.below(due.size())]->deliver();
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
  for (SimulatedProcess* process : running()) {
    if (is_paused(*process) || now() < process->disk_stalled_until) continue;
    if (auto due = process->io.due_at(now()); !due.empty())
      busy.emplace_back(&process->io, std::move(due));
  }
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
    for (std::size_t i = 0; !is_paused(*process) && i < process->tasks.tasks.size(); ++i)
      if (process->tasks.tasks[i].may_move) movable.emplace_back(process, i);
  if (movable.empty()) return false;
  const auto [process, index] = movable[random_.below(movable.size())];
  auto& tasks = process->tasks.tasks;
  const std::shared_ptr<StreamTask> task = tasks[index].task;
  if (settings_.on_task_step) settings_.on_task_step(task->environment(), false);
  const StepResult result = task->step();
  if (settings_.on_task_step) settings_.on_task_step(task->environment(), true);
  if (result == StepResult::finished) {
    tasks.erase(tasks.begin() + static_cast<std::ptrdiff_t>(index));
  } else if (result == StepResult::busy) {
    // Its neighbours may have input or room now.
    for (Stepper::Running& other : tasks) other.may_move = other.may_have_records = true;
  } else {
    tasks[index].may_move = tasks[index].may_have_records = false;
  }
  return true;
}

bool SimulatedCluster::move_time(std::optional<MonotonicTime> latest) {
  std::optional<MonotonicTime> wake = latest;
  const auto wakes_at = [&](std::optional<MonotonicTime> time) {
    if (time && (!wake || *time < *wake)) wake = time;
  };
  for (const SimulatedLink* link : all_links()) wakes_at(link->next_arrival());
  for (SimulatedProcess* process : running()) {
    if (is_paused(*process)) {
      wakes_at(process->paused_until);
      continue;
    }
    if (now() < process->disk_stalled_until && !process->io.work.empty())
      wakes_at(process->disk_stalled_until);
    for (const Queue::Work& work : process->io.work)
      if (work.due > now()) wakes_at(work.due);
    for (const Stepper::Running& task : process->tasks.tasks) wakes_at(task.task->wake_time());
    if (process->records) wakes_at(process->records->wake_time());
  }
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
