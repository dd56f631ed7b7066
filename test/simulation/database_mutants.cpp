#include "test/simulation/database_mutants.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backends/rocksdb/rocksdb_keyed_state_backend.hpp"
#include "backends/rocksdb/sorted_files.hpp"
#include "state/frozen_table.hpp"

namespace weir::test {

namespace {

/// Knows the tables of a backend that has a database. What is wrong is wrong there alone: other backends that a
/// run draws are the real ones.
class PassingDatabaseState : public PassingKeyedState {
 public:
  explicit PassingDatabaseState(std::shared_ptr<KeyedStateBackend> inner)
      : PassingKeyedState(std::move(inner)),
        backend_(dynamic_cast<RocksDBKeyedStateBackend*>(inner_.get())) {}
  Status add_table(std::unique_ptr<TableBase> table) override {
    if (backend_ != nullptr) tables_.push_back(table.get());
    return inner_->add_table(std::move(table));
  }
  void dispose() override {
    backend_ = nullptr;
    tables_.clear();
    inner_->dispose();
  }

 protected:
  RocksDBKeyedStateBackend* backend_;  ///< null: another one
  std::vector<TableBase*> tables_;
};

/// Takes what a snapshot has frozen for stored before it is.
class StoredTooEarly final : public PassingDatabaseState {
 public:
  using PassingDatabaseState::PassingDatabaseState;
  Result<std::unique_ptr<SnapshotTask>> begin_snapshot(const SnapshotRequest& request) override {
    std::vector<std::uint32_t> epochs;
    for (TableBase* table : tables_) epochs.push_back(table->freeze()->epoch());
    WEIR_TRY_ASSIGN(task, inner_->begin_snapshot(request));
    for (std::size_t i = 0; i < tables_.size(); ++i) tables_[i]->confirm(epochs[i]);
    return task;
  }
};

/// Flushes changes itself when a snapshot begins, as `change` makes them.
class WrongFlush final : public PassingDatabaseState {
 public:
  using Change = std::function<Status(SortedFiles& files, rocksdb::ColumnFamilyHandle* family,
                                      std::string_view key, std::optional<std::string_view> value,
                                      std::uint32_t run)>;
  WrongFlush(std::shared_ptr<KeyedStateBackend> inner, Change change)
      : PassingDatabaseState(std::move(inner)), change_(std::move(change)) {}
  Result<std::unique_ptr<SnapshotTask>> begin_snapshot(const SnapshotRequest& request) override {
    if (backend_ != nullptr) WEIR_TRY(flush());
    return inner_->begin_snapshot(request);
  }

 private:
  Status flush() {
    if (tables_.empty()) return {};
    // Behind what was frozen earlier, which this brings in.
    WEIR_TRY(inner_->keys_of_group(tables_.front()->groups().first));
    RocksDBDatabase& database = backend_->database();
    SortedFiles files(database);
    for (TableBase* table : tables_) {
      const auto family =
          std::ranges::find(database.families(), "state " + table->declaration().name,
                            [](rocksdb::ColumnFamilyHandle* handle) { return handle->GetName(); });
      WEIR_ASSERT(family != database.families().end());
      const KeyGroupRange groups = table->groups();
      for (std::uint32_t group = groups.first; group < groups.end; ++group)
        WEIR_TRY(table->flush_group(group, [&](auto key, auto value, std::uint32_t run) {
          return change_(files, *family, key, value, run);
        }));
    }
    return files.ingest();
  }

  const Change change_;
};

/// Takes the files of the database when they are written, with what was ingested since the barrier.
class LateCut final : public PassingDatabaseState {
 public:
  using PassingDatabaseState::PassingDatabaseState;
  Result<std::unique_ptr<SnapshotTask>> begin_snapshot(const SnapshotRequest& request) override {
    if (backend_ == nullptr) return inner_->begin_snapshot(request);
    return std::make_unique<Task>(inner_, request);
  }

 private:
  class Task final : public SnapshotTask {
   public:
    Task(std::shared_ptr<KeyedStateBackend> backend, const SnapshotRequest& request)
        : backend_(std::move(backend)), request_(request) {}
    Result<KeyedSnapshot> run(SnapshotSink& sink) override {
      WEIR_TRY_ASSIGN(task, backend_->begin_snapshot(request_));
      task_ = std::move(task);
      return task_->run(sink);
    }
    bool is_shared() const override { return request_.form == SnapshotForm::incremental; }
    void payload_durable(const DataLocation& payload) override { task_->payload_durable(payload); }

   private:
    const std::shared_ptr<KeyedStateBackend> backend_;
    const SnapshotRequest request_;
    std::unique_ptr<SnapshotTask> task_;
  };
};

/// Changes what a snapshot says of itself.
class WrongHandles : public PassingDatabaseState {
 public:
  using PassingDatabaseState::PassingDatabaseState;
  Result<std::unique_ptr<SnapshotTask>> begin_snapshot(const SnapshotRequest& request) override {
    WEIR_TRY_ASSIGN(task, inner_->begin_snapshot(request));
    if (backend_ == nullptr || request.form == SnapshotForm::canonical) return task;
    return wrong(std::move(task));
  }

 protected:
  /// Passes on what a task does; what is wrong overrides `change`.
  class Task : public SnapshotTask {
   public:
    explicit Task(std::unique_ptr<SnapshotTask> task) : task_(std::move(task)) {}
    Result<KeyedSnapshot> run(SnapshotSink& sink) override {
      WEIR_TRY_ASSIGN(written, task_->run(sink));
      change(written);
      return written;
    }
    bool is_shared() const override { return task_->is_shared(); }
    void payload_durable(const DataLocation& payload) override { task_->payload_durable(payload); }

   protected:
    virtual void change(KeyedSnapshot& written) = 0;

   private:
    const std::unique_ptr<SnapshotTask> task_;
  };
  virtual std::unique_ptr<SnapshotTask> wrong(std::unique_ptr<SnapshotTask> task) = 0;
};

/// Does not name the last file that it takes over from an older checkpoint.
class UnnamedFile final : public WrongHandles {
 public:
  using WrongHandles::WrongHandles;

 private:
  class Unnaming final : public Task {
   public:
    using Task::Task;
    void change(KeyedSnapshot& written) override {
      for (KeyedStateHandle& handle : written.handles)
        if (handle.location != 0 && handle.groups.size() > 1) return handle.groups.pop_back();
    }
  };
  std::unique_ptr<SnapshotTask> wrong(std::unique_ptr<SnapshotTask> task) override {
    return std::make_unique<Unnaming>(std::move(task));
  }
};

/// Knows the files of a state by their places in its list: where an older checkpoint has a file in the place of a new
/// one, it names that.
class FilesByPlace final : public WrongHandles {
 public:
  using WrongHandles::WrongHandles;

 private:
  struct Older {
    std::map<std::pair<std::string, std::uint32_t>, KeyGroupExtent> files;
    std::optional<DataLocation> location;  ///< of them all
  };
  class Confusing final : public Task {
   public:
    Confusing(std::unique_ptr<SnapshotTask> task, std::shared_ptr<Older> older)
        : Task(std::move(task)), older_(std::move(older)) {}
    void change(KeyedSnapshot& written) override {
      std::vector<KeyedStateHandle> older_ones;
      for (KeyedStateHandle& handle : written.handles) {
        if (handle.location != 0) continue;
        KeyedStateHandle older{handle.state, 0, {}, StateFormat::files, 0};
        for (const KeyGroupExtent& file : handle.groups) {
          files_.emplace(std::pair(handle.state, file.group), file);
          const auto found = older_->files.find({handle.state, file.group});
          if (file.group != 0 && older_->location && found != older_->files.end())
            older.groups.push_back(found->second);
        }
        std::erase_if(handle.groups, [&](const KeyGroupExtent& file) {
          return std::ranges::find(older.groups, file.group, &KeyGroupExtent::group) !=
                 older.groups.end();
        });
        if (!older.groups.empty()) older_ones.push_back(std::move(older));
      }
      if (older_ones.empty()) return;
      written.reused.push_back(*older_->location);
      for (KeyedStateHandle& older : older_ones) {
        older.location = static_cast<std::uint32_t>(written.reused.size());
        written.handles.push_back(std::move(older));
      }
    }
    void payload_durable(const DataLocation& payload) override {
      if (is_shared()) *older_ = {std::move(files_), payload};
      Task::payload_durable(payload);
    }

   private:
    const std::shared_ptr<Older> older_;
    decltype(Older::files) files_;
  };
  std::unique_ptr<SnapshotTask> wrong(std::unique_ptr<SnapshotTask> task) override {
    return std::make_unique<Confusing>(std::move(task), older_);
  }

  const std::shared_ptr<Older> older_ = std::make_shared<Older>();
};

/// Restores the files of a state in another order than that of their list.
class FilesInOtherOrder final : public PassingDatabaseState {
 public:
  using PassingDatabaseState::PassingDatabaseState;
  Status restore(std::vector<RestoredKeyedState> states) override {
    for (RestoredKeyedState& state : states)
      for (RestoredKeyedState::Part& part : state.parts) {
        const bool has_list = !part.groups.empty() && part.groups.front().group == 0;
        const std::size_t first = has_list ? 1 : 0;
        if (part.format != StateFormat::files || part.groups.size() < first + 2) continue;
        KeyGroupExtent& one = part.groups[first];
        KeyGroupExtent& other = part.groups.back();
        std::swap(one.offset, other.offset);
        std::swap(one.length, other.length);
        std::swap(one.checksum, other.checksum);
      }
    return inner_->restore(std::move(states));
  }
};

template <class KeyedState, class... Arguments>
SeededRunCode on_databases(Arguments... arguments) {
  SeededRunCode code = with_keyed_state<KeyedState>(arguments...);
  code.configuration["state.backend"] = "rocksdb";
  return code;
}
SeededRunCode incremental(SeededRunCode code) {
  code.configuration["execution.checkpointing.incremental"] = "true";
  return code;
}

}  // namespace

std::vector<Mutant> database_mutants() {
  const WrongFlush::Change no_removals = [](SortedFiles& files, auto* family, auto key, auto value,
                                            std::uint32_t run) -> Status {
    return value ? files.change(family, key, value, run) : Status();
  };
  const WrongFlush::Change runs_as_values = [](SortedFiles& files, auto* family, auto key,
                                               auto value, std::uint32_t) {
    return files.change(family, key, value, 0);
  };
  const WrongFlush::Change new_numbers = [next = std::uint32_t{1} << 30](
                                             SortedFiles& files, auto* family, auto key, auto value,
                                             std::uint32_t run) mutable {
    return files.change(family, key, value, run == 0 ? 0 : next++);
  };
  return {
      {"what a snapshot has frozen is taken for stored", on_databases<StoredTooEarly>(), 5},
      {"removals are not flushed", on_databases<WrongFlush>(no_removals)},
      {"a run is flushed as if it were the whole value", on_databases<WrongFlush>(runs_as_values)},
      {"a run is flushed under another number each time", on_databases<WrongFlush>(new_numbers)},
      {"the files of a database are taken late", on_databases<LateCut>(), 20},
      {"a file that is taken over is not named", incremental(on_databases<UnnamedFile>()), 20},
      {"a file of an older checkpoint is taken for a new one",
       incremental(on_databases<FilesByPlace>()), 4},
      {"files are restored in another order", on_databases<FilesInOtherOrder>()},
  };
}

}  // namespace weir::test
