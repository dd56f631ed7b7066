#include "test/simulation/mutants.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <utility>

#include <caf/all.hpp>

#include "state/checkpoint_directory.hpp"
#include "state/snapshot_io.hpp"
#include "test/simulation/careless_storage.hpp"
#include "test/simulation/database_mutants.hpp"

namespace weir::test {

namespace {

// ---- Storage --------------------------------------------------------------------------------------

/// `FileCheckpointStorage`; what is wrong overrides some of it.
class PassingStorage : public CheckpointStorage {
 public:
  PassingStorage(FileSystem& files, Random& random) : storage_(files, random) {}
  Result<std::unique_ptr<StorageOutput>> create(const std::string& path) override {
    return storage_.create(path);
  }
  Result<std::unique_ptr<InputFile>> open(const std::string& path) override {
    return storage_.open(path);
  }
  Status create_directories(const std::string& path) override {
    return storage_.create_directories(path);
  }
  Result<std::vector<DirectoryEntry>> list(const std::string& directory) override {
    return storage_.list(directory);
  }
  Status remove(const std::string& path) override { return storage_.remove(path); }
  Status make_durable(const std::string& directory) override {
    return storage_.make_durable(directory);
  }
  Result<std::unique_ptr<DirectoryLock>> lock(const std::string& directory) override {
    return storage_.lock(directory);
  }

 protected:
  static std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }
  static std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }
  /// Of `<job>/chk-<n>/_metadata`: `chk-<n>`; empty if `path` is another one.
  static std::string checkpoint_of(const std::string& path) {
    if (name_of(path) != metadata_file_name) return {};
    const std::string name = name_of(parent_of(path));
    return name.starts_with("chk-") ? name : std::string();
  }
  /// Removes the files of `directory` for which `chosen(name)` holds.
  template <class F>
  void remove_files(const std::string& directory, const F& chosen) {
    const auto entries = storage_.list(directory);
    if (!entries) return;
    for (const DirectoryEntry& entry : *entries)
      if (!entry.is_directory && chosen(entry.name))
        (void)storage_.remove(directory + "/" + entry.name);
  }

 private:
  FileCheckpointStorage storage_;
};

/// Says of files whose name begins with `prefix` that they are durable, and publishes them when it is next asked
/// for something.
class EarlyAnswers final : public PassingStorage {
 public:
  EarlyAnswers(FileSystem& files, Random& random, std::string prefix)
      : PassingStorage(files, random), prefix_(std::move(prefix)) {}
  Result<std::unique_ptr<StorageOutput>> create(const std::string& path) override {
    publish_waiting();
    WEIR_TRY_ASSIGN(output, PassingStorage::create(path));
    if (!name_of(path).starts_with(prefix_)) return output;
    return std::make_unique<Output>(*this, std::move(output));
  }
  Result<std::unique_ptr<InputFile>> open(const std::string& path) override {
    publish_waiting();
    return PassingStorage::open(path);
  }
  Status create_directories(const std::string& path) override {
    publish_waiting();
    return PassingStorage::create_directories(path);
  }
  Result<std::vector<DirectoryEntry>> list(const std::string& directory) override {
    publish_waiting();
    return PassingStorage::list(directory);
  }
  Status remove(const std::string& path) override {
    publish_waiting();
    return PassingStorage::remove(path);
  }

 private:
  class Output final : public StorageOutput {
   public:
    Output(EarlyAnswers& owner, std::unique_ptr<StorageOutput> output)
        : owner_(owner), output_(std::move(output)) {}
    Status append(std::string_view bytes) override { return output_->append(bytes); }
    Status publish() override {
      owner_.waiting_.push_back(std::move(output_));
      return {};
    }
    void discard() override {
      if (output_) output_->discard();
    }

   private:
    EarlyAnswers& owner_;
    std::unique_ptr<StorageOutput> output_;
  };
  void publish_waiting() {
    for (auto& output : std::exchange(waiting_, {})) (void)output->publish();
  }

  const std::string prefix_;
  std::vector<std::unique_ptr<StorageOutput>> waiting_;
};

/// Deletes the data files of a checkpoint before its `_metadata`.
class BackwardDeletions final : public PassingStorage {
 public:
  using PassingStorage::PassingStorage;
  Status remove(const std::string& path) override {
    if (!checkpoint_of(path).empty())
      remove_files(parent_of(path),
                   [](const std::string& name) { return name.starts_with("data-"); });
    return PassingStorage::remove(path);
  }
};

/// Deletes with a checkpoint what it has written for others, too.
class UnsharedDeletions final : public PassingStorage {
 public:
  using PassingStorage::PassingStorage;
  Status remove(const std::string& path) override {
    const std::string checkpoint = checkpoint_of(path);
    WEIR_TRY(PassingStorage::remove(path));
    if (checkpoint.empty()) return {};
    const std::string of_it = "-c" + checkpoint.substr(4) + "-";
    remove_files(shared_directory(parent_of(path)),
                 [&](const std::string& name) { return name.contains(of_it); });
    return {};
  }
};

/// Deletes the older checkpoints when a new one is about to complete.
class EarlyDeletions final : public PassingStorage {
 public:
  using PassingStorage::PassingStorage;
  Result<std::unique_ptr<StorageOutput>> create(const std::string& path) override {
    if (!checkpoint_of(path).empty()) {
      const std::string job = parent_of(parent_of(path));
      if (const auto others = PassingStorage::list(job))
        for (const DirectoryEntry& other : *others)
          if (other.name.starts_with("chk-"))
            (void)PassingStorage::remove(job + "/" + other.name + "/" +
                                         std::string(metadata_file_name));
    }
    return PassingStorage::create(path);
  }
};

template <class Storage, class... Arguments>
SeededRunCode with_storage(Arguments... arguments) {
  SeededRunCode code;
  code.storage = [=](FileSystem& files, Random& random) {
    return std::make_shared<Storage>(files, random, arguments...);
  };
  return code;
}
SeededRunCode with_files(Carelessness how, const std::string& directory = "/") {
  SeededRunCode code;
  code.files = [how, directory](FileSystem& files) {
    return std::make_unique<CarelessFiles>(files, how, directory);
  };
  return code;
}

// ---- State ----------------------------------------------------------------------------------------

/// Freezes the tables when they are written, not at the barrier.
class LateFreeze final : public PassingKeyedState {
 public:
  using PassingKeyedState::PassingKeyedState;
  Result<std::unique_ptr<SnapshotTask>> begin_snapshot(const SnapshotRequest& request) override {
    SnapshotRequest canonical = request;
    canonical.form = SnapshotForm::canonical;
    return std::make_unique<Task>(inner_, canonical);
  }

 private:
  class Task final : public SnapshotTask {
   public:
    Task(std::shared_ptr<KeyedStateBackend> backend, const SnapshotRequest& request)
        : backend_(std::move(backend)), request_(request) {}
    Result<KeyedSnapshot> run(SnapshotSink& sink) override {
      WEIR_TRY_ASSIGN(task, backend_->begin_snapshot(request_));
      return task->run(sink);
    }

   private:
    const std::shared_ptr<KeyedStateBackend> backend_;
    const SnapshotRequest request_;
  };
};

/// Begins with nothing, whatever was restored.
class EmptyStart final : public PassingKeyedState {
 public:
  using PassingKeyedState::PassingKeyedState;
  Status restore(std::vector<RestoredKeyedState>) override { return inner_->restore({}); }
};

/// Loses the last key group of every part that is restored.
class LostKeyGroup final : public PassingKeyedState {
 public:
  using PassingKeyedState::PassingKeyedState;
  Status restore(std::vector<RestoredKeyedState> states) override {
    for (RestoredKeyedState& state : states)
      for (RestoredKeyedState::Part& part : state.parts)
        if (part.groups.size() > 1) part.groups.pop_back();
    return inner_->restore(std::move(states));
  }
};

/// Takes of what several subtasks, or several checkpoints, have written only the first part.
class FirstPart final : public PassingKeyedState {
 public:
  using PassingKeyedState::PassingKeyedState;
  Status restore(std::vector<RestoredKeyedState> states) override {
    for (RestoredKeyedState& state : states)
      if (state.parts.size() > 1) state.parts.resize(1);
    return inner_->restore(std::move(states));
  }
};

/// Does not restore states of one kind.
class LostKind final : public PassingKeyedState {
 public:
  LostKind(std::shared_ptr<KeyedStateBackend> inner, StateKind kind)
      : PassingKeyedState(std::move(inner)), kind_(kind) {}
  Status restore(std::vector<RestoredKeyedState> states) override {
    std::erase_if(states,
                  [&](const RestoredKeyedState& state) { return state.declaration.kind == kind_; });
    return inner_->restore(std::move(states));
  }

 private:
  const StateKind kind_;
};

/// Builds on the last checkpoint that was begun, completed or not.
class WrongBase final : public PassingKeyedState {
 public:
  using PassingKeyedState::PassingKeyedState;
  Result<std::unique_ptr<SnapshotTask>> begin_snapshot(const SnapshotRequest& request) override {
    SnapshotRequest wrong = request;
    if (request.form == SnapshotForm::incremental && begun_.value != 0) wrong.base = begun_;
    if (request.form == SnapshotForm::incremental) begun_ = request.id;
    return inner_->begin_snapshot(wrong);
  }

 private:
  CheckpointId begun_;
};

/// Leaves out of a checkpoint what it takes over from older ones.
class ForgottenBase final : public PassingKeyedState {
 public:
  using PassingKeyedState::PassingKeyedState;
  Result<std::unique_ptr<SnapshotTask>> begin_snapshot(const SnapshotRequest& request) override {
    WEIR_TRY_ASSIGN(task, inner_->begin_snapshot(request));
    return std::make_unique<Task>(std::move(task));
  }

 private:
  class Task final : public SnapshotTask {
   public:
    explicit Task(std::unique_ptr<SnapshotTask> task) : task_(std::move(task)) {}
    Result<KeyedSnapshot> run(SnapshotSink& sink) override {
      WEIR_TRY_ASSIGN(written, task_->run(sink));
      std::erase_if(written.handles, [](const auto& handle) { return handle.location != 0; });
      written.reused.clear();
      return written;
    }
    bool is_shared() const override { return task_->is_shared(); }
    void payload_durable(const DataLocation& payload) override { task_->payload_durable(payload); }

   private:
    const std::unique_ptr<SnapshotTask> task_;
  };
};

// ---- The sink -------------------------------------------------------------------------------------

/// What a file sink may do too early, or not at all.
enum class SinkError : std::uint8_t {
  commits_at_barrier,
  commits_savepoints,
  commits_aborted,
  forgets_files
};

class WrongSink final : public Operator {
 public:
  WrongSink(std::unique_ptr<Operator> sink, SinkError wrong)
      : sink_(std::move(sink)), wrong_(wrong) {}
  Status open(OperatorContext& context) override { return sink_->open(context); }
  void on_batch(std::uint32_t input, AnyBatch& batch, Cursor& cursor) override {
    sink_->on_batch(input, batch, cursor);
  }
  Progress on_end(std::uint32_t input) override { return sink_->on_end(input); }
  Progress before_barrier(const CheckpointBarrier& barrier) override {
    return sink_->before_barrier(barrier);
  }
  Status snapshot_state(const CheckpointBarrier& barrier) override {
    if (wrong_ == SinkError::forgets_files) return {};
    WEIR_TRY(sink_->snapshot_state(barrier));
    if (wrong_ != SinkError::commits_at_barrier) return {};
    return sink_->notify_checkpoint_complete(barrier.id, barrier.options.kind);
  }
  Status notify_checkpoint_complete(CheckpointId id, SnapshotKind kind) override {
    return sink_->notify_checkpoint_complete(
        id, wrong_ == SinkError::commits_savepoints ? SnapshotKind::checkpoint : kind);
  }
  Status notify_checkpoint_aborted(CheckpointId id) override {
    if (wrong_ != SinkError::commits_aborted) return sink_->notify_checkpoint_aborted(id);
    return sink_->notify_checkpoint_complete(id, SnapshotKind::checkpoint);
  }

 private:
  const std::unique_ptr<Operator> sink_;
  const SinkError wrong_;
};

SeededRunCode with_sink(SinkError wrong) {
  SeededRunCode code;
  code.sink = [wrong](std::unique_ptr<Operator> sink) {
    return std::make_unique<WrongSink>(std::move(sink), wrong);
  };
  return code;
}

// ---- Messages -------------------------------------------------------------------------------------

/// Passes on what a JobManager says to a TaskManager, as `change` makes it: an overload for each message that is
/// changed, which says whether it is passed on at all.
template <class Change>
TaskManagerInterface pass_on(caf::actor_system& system, const TaskManagerInterface& to,
                             Change change) {
  // The handle is an argument because CAF 0.17 dereferences a null tuple for actors that have none.
  const auto behavior = [change](
                            TaskManagerInterface::pointer self,
                            const TaskManagerInterface& to) -> TaskManagerInterface::behavior_type {
    const auto one_way = [self, to, change]<class M>(std::type_identity<M>) {
      return [self, to, change](const Envelope<M>& envelope) {
        Envelope<M> changed = envelope;
        if constexpr (std::invocable<const Change&, M&>)
          if (!change(changed.message)) return;
        self->send(to, std::move(changed));
      };
    };
    return {[self, to, change](const Envelope<SubmitTask>& envelope) {
              Envelope<SubmitTask> changed = envelope;
              if constexpr (std::invocable<const Change&, SubmitTask&>)
                (void)change(changed.message);
              return self->delegate(to, std::move(changed));
            },
            one_way(std::type_identity<StartTask>{}),
            one_way(std::type_identity<CancelTask>{}),
            one_way(std::type_identity<DrainTask>{}),
            one_way(std::type_identity<TriggerCheckpoint>{}),
            one_way(std::type_identity<NotifyCheckpointComplete>{}),
            one_way(std::type_identity<NotifyCheckpointAborted>{})};
  };
  return system.spawn(behavior, to);
}

template <class Change>
SeededRunCode with_messages(Change change) {
  SeededRunCode code;
  code.between = [change](caf::actor_system& system, const TaskManagerInterface& to) {
    return pass_on(system, to, change);
  };
  return code;
}

/// Calls `change(part)` for the operator states of `kind` that a task is to restore.
template <class Change>
void change_operator_states(SubmitTask& task, StateKind kind, Change change) {
  if (!task.restore) return;
  for (OperatorRestore& op : task.restore->operators)
    for (OperatorStateRestore& part : op.operator_states) {
      const auto declared =
          std::ranges::find(op.states, part.handle.state, &StateDeclaration::name);
      if (declared != op.states.end() && declared->kind == kind) change(part);
    }
}
void drop_operator_states(SubmitTask& task, StateKind kind) {
  change_operator_states(task, kind, [](OperatorStateRestore& part) { part.assigned.clear(); });
}

SeededRunCode without_alignment() {
  SeededRunCode code;
  code.configuration["execution.checkpointing.mode"] = "AT_LEAST_ONCE";
  return code;
}

}  // namespace

std::vector<Mutant> mutants() {
  std::vector<Mutant> all = {
      {"files are not synced", with_files(Carelessness::no_file_sync)},
      {"directories are not synced", with_files(Carelessness::no_directory_sync), 5},
      {"the sink's files are not synced", with_files(Carelessness::no_file_sync, "/output")},
      {"the names of the sink's files are not durable",
       with_files(Carelessness::no_directory_sync, "/output")},
      {"a file is renamed before it is synced",
       with_storage<CarelessStorage>(Shortcut::renames_before_sync), 1550},
      {"what a scan shows is taken for durable",
       with_storage<CarelessStorage>(Shortcut::forgets_the_living), 53},
      {"a snapshot is acknowledged before it is durable",
       with_storage<EarlyAnswers>(std::string("data-"))},
      {"a checkpoint is reported before its `_metadata` is durable",
       with_storage<EarlyAnswers>(std::string(metadata_file_name)), 4},
      {"data files are deleted before `_metadata`", with_storage<BackwardDeletions>(), 131},
      {"shared files are deleted with the checkpoint that wrote them",
       with_storage<UnsharedDeletions>(), 32},
      {"old checkpoints are deleted before the new one is durable", with_storage<EarlyDeletions>(),
       51},
      {"tables are frozen after the barrier", with_keyed_state<LateFreeze>(), 46},
      {"keyed state is silently not restored", with_keyed_state<EmptyStart>()},
      {"a key group is lost at the restore", with_keyed_state<LostKeyGroup>()},
      {"the first part of keyed state is taken for all of it", with_keyed_state<FirstPart>()},
      {"timers are not restored", with_keyed_state<LostKind>(StateKind::timer)},
      {"maps are not restored", with_keyed_state<LostKind>(StateKind::map)},
      {"values are not restored", with_keyed_state<LostKind>(StateKind::value)},
      {"lists are not restored", with_keyed_state<LostKind>(StateKind::list)},
      {"sums are not restored", with_keyed_state<LostKind>(StateKind::reducing)},
      {"aggregates are not restored", with_keyed_state<LostKind>(StateKind::aggregating)},
      {"a checkpoint builds on one that has not completed", with_keyed_state<WrongBase>(), 281},
      {"a checkpoint leaves out what it builds on", with_keyed_state<ForgottenBase>(), 51},
      {"the sink commits at the barrier", with_sink(SinkError::commits_at_barrier)},
      {"the sink commits what an ordinary savepoint covers",
       with_sink(SinkError::commits_savepoints), 7},
      {"the sink commits what an aborted checkpoint covers", with_sink(SinkError::commits_aborted),
       25},
      {"the sink's files are in no snapshot", with_sink(SinkError::forgets_files)},
      {"barriers are not aligned", without_alignment(), 2},
      {"union state goes to the first subtask alone", with_messages([](SubmitTask& task) {
         if (task.execution.subtask > 0) drop_operator_states(task, StateKind::operator_union);
         return true;
       })},
      {"list state is lost at a subtask's restore", with_messages([](SubmitTask& task) {
         if (task.execution.subtask > 0) drop_operator_states(task, StateKind::operator_list);
         return true;
       })},
      {"broadcast state goes to the first subtask alone", with_messages([](SubmitTask& task) {
         if (task.execution.subtask > 0) drop_operator_states(task, StateKind::operator_broadcast);
         return true;
       })},
      {"list state is not restored", with_messages([](SubmitTask& task) {
         drop_operator_states(task, StateKind::operator_list);
         return true;
       })},
      {"the last element of list state is lost", with_messages([](SubmitTask& task) {
         change_operator_states(task, StateKind::operator_list, [](OperatorStateRestore& part) {
           if (!part.assigned.empty()) part.assigned.pop_back();
         });
         return true;
       })},
      {"list state that is dealt out goes to all subtasks", with_messages([](SubmitTask& task) {
         change_operator_states(task, StateKind::operator_list, [](OperatorStateRestore& part) {
           part.assigned.resize(part.handle.elements.size());
           std::iota(part.assigned.begin(), part.assigned.end(), 0U);
         });
         return true;
       })},
      {"a savepoint's barrier is taken for that of a checkpoint",
       with_messages([](TriggerCheckpoint& trigger) {
         if (trigger.options.kind == SnapshotKind::savepoint)
           trigger.options.kind = SnapshotKind::checkpoint;
         return true;
       }),
       11},
      {"a completion is taken for that of the checkpoint behind it",
       with_messages([](NotifyCheckpointComplete& notice) {
         ++notice.checkpoint.value;
         return true;
       }),
       66},
      {"tasks never hear that they are cancelled", with_messages([](CancelTask&) { return false; }),
       4},
      {"tasks never hear that they may end",
       with_messages([](NotifyCheckpointComplete& notice) { return !notice.ends_task; })},
  };
  std::ranges::move(database_mutants(), std::back_inserter(all));
  return all;
}

}  // namespace weir::test
