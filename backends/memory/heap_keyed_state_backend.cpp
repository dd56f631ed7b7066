#include "backends/memory/heap_keyed_state_backend.hpp"

#include <algorithm>
#include <utility>

#include "backends/memory/image_snapshot_task.hpp"
#include "state/frozen_table.hpp"

namespace weir {

namespace {

/// Slices from one look at the budget to the next: a look at values on the heap costs microseconds.
constexpr std::uint64_t slices_between_looks = 16;

/// Runs another snapshot until it is given up.
class BudgetedSnapshotTask final : public SnapshotTask {
 public:
  BudgetedSnapshotTask(std::unique_ptr<SnapshotTask> task,
                       std::shared_ptr<std::atomic<bool>> given_up, std::string why)
      : task_(std::move(task)), given_up_(std::move(given_up)), why_(std::move(why)) {}

  Result<KeyedSnapshot> run(SnapshotSink& sink) override {
    Sink checked(*this, sink);
    auto result = task_->run(checked);
    // What it holds is let go at once, whatever becomes of the file.
    if (!result) task_.reset();
    return result;
  }
  bool is_shared() const override { return task_->is_shared(); }
  void payload_durable(const DataLocation& payload) override { task_->payload_durable(payload); }

 private:
  class Sink final : public SnapshotSink {
   public:
    Sink(const BudgetedSnapshotTask& owner, SnapshotSink& sink) : owner_(owner), sink_(sink) {}
    Status append(std::string_view bytes) override {
      if (*owner_.given_up_) return error(Errc::limit_exceeded, owner_.why_);
      return sink_.append(bytes);
    }
    std::uint64_t position() const override { return sink_.position(); }

   private:
    const BudgetedSnapshotTask& owner_;
    SnapshotSink& sink_;
  };

  std::unique_ptr<SnapshotTask> task_;
  const std::shared_ptr<std::atomic<bool>> given_up_;
  const std::string why_;
};

std::string kibibytes(std::uint64_t bytes) { return std::to_string(bytes >> 10) + " KiB"; }
std::string mebibytes(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

class HeapSnapshotTask final : public SnapshotTask {
 public:
  explicit HeapSnapshotTask(std::vector<std::unique_ptr<FrozenTable>> tables)
      : tables_(std::move(tables)) {}

  Result<KeyedSnapshot> run(SnapshotSink& sink) override {
    KeyedSnapshot written;
    written.handles.reserve(tables_.size());
    for (std::unique_ptr<FrozenTable>& table : tables_) {
      WEIR_TRY_ASSIGN(handle, table->write(sink));
      written.handles.push_back(std::move(handle));
      table.reset();  // its memory can be reused while the others are written
    }
    return written;
  }

 private:
  std::vector<std::unique_ptr<FrozenTable>> tables_;
};

}  // namespace

HeapKeyedStateBackend::HeapKeyedStateBackend(const KeyedStateBackendContext& context,
                                             bool writes_images,
                                             std::shared_ptr<MemoryBudget> budget,
                                             NativeStatesFactory native)
    : operator_label_(context.operator_label),
      writes_images_(writes_images),
      restored_checkpoint_(writes_images ? context.restored_checkpoint : CheckpointId()),
      restored_(context, std::move(native)),
      chains_(std::make_shared<ImageChains>()),
      memory_(std::move(budget)) {}

Status HeapKeyedStateBackend::restore(std::vector<RestoredKeyedState> states) {
  WEIR_ASSERT(tables_.empty());
  restored_.set(std::move(states));
  return {};
}

Status HeapKeyedStateBackend::add_table(std::unique_ptr<TableBase> table) {
  const std::string& name = table->declaration().name;
  for (const auto& other : tables_)
    if (other->declaration().name == name)
      return error(Errc::already_exists, operator_label_ + " has two states named '" + name +
                                             "'; names are unique within an operator");
  WEIR_TRY_ASSIGN(entries, restored_.claim(*table));
  if (restored_checkpoint_.value != 0) note_images(*table, entries);
  if (!entries.done()) loading_.emplace_back(table.get(), std::move(entries));
  tables_.push_back(std::move(table));
  return {};
}

/// What of the restored checkpoint the next one can leave where it is. Of a table that was restored from
/// something else, nothing.
void HeapKeyedStateBackend::note_images(const TableBase& table, const RestoredEntries& entries) {
  if (entries.is_native() || entries.changes_type()) return;
  TableImages images;
  images.groups.resize(table.groups().size());
  for (const RestoredEntries::Extent& extent : entries.extents()) {
    const bool stays = extent.location->shared || extent.location->file.empty();
    if (extent.format != StateFormat::segments || !stays) return;
    images.groups[extent.group.group - table.groups().first].push_back(
        {extent.sequence, extent.location, extent.group});
  }
  restored_images_.emplace(table.declaration().name, std::move(images));
}

Result<bool> HeapKeyedStateBackend::load_restored() {
  if (loading_.empty()) {
    if (restored_checkpoint_.value != 0) remember_restored();
    return true;
  }
  WEIR_TRY(load_piece());
  if (!loading_.empty()) return false;
  if (restored_checkpoint_.value != 0) remember_restored();
  return true;
}

/// From here on, what is written is written since the restored checkpoint.
void HeapKeyedStateBackend::remember_restored() {
  for (const auto& table : tables_) {
    const auto images = restored_images_.find(table->declaration().name);
    if (images == restored_images_.end()) continue;
    images->second.epoch = table->freeze()->epoch();
    table->confirm(images->second.epoch);
  }
  chains_->remember(std::exchange(restored_checkpoint_, {}), std::move(restored_images_));
}

Status HeapKeyedStateBackend::load_piece() {
  auto& [table, entries] = loading_.back();
  if (entries.is_image()) {
    const std::uint32_t group = entries.group().group;
    bool fits = true;
    const Status laid = entries.next_image([&](std::string_view bytes) {
      Status loaded = table->load_images(group, bytes);
      fits = loaded.has_value();
      return loaded;
    });
    if (!fits) {
      // Values may take another room in memory although they are encoded as before: a member that is not
      // described was added, say. Their entries fit; what is damaged is found there as well.
      entries.give_up_images();
      restored_images_.erase(table->declaration().name);
      return {};
    }
    WEIR_TRY(laid);
    if (entries.done()) loading_.pop_back();
    return {};
  }
  // What the snapshot says is checked later, so it is not taken at its word for more than its bytes.
  if (!entries.is_native() && entries.at_group_begin()) {
    const KeyGroupExtent& group = entries.group();
    table->reserve(group.group, std::min(group.entries, group.length / 8));
  }
  WEIR_TRY(entries.next([&](std::span<const EntryView> piece) -> Status {
    for (const EntryView& entry : piece) WEIR_TRY(table->insert(entry.key, entry.value));
    return {};
  }));
  if (entries.done()) loading_.pop_back();
  return {};
}

std::vector<std::string> HeapKeyedStateBackend::unclaimed_states() const {
  return restored_.names();
}

std::vector<StateDeclaration> HeapKeyedStateBackend::declarations() const {
  std::vector<StateDeclaration> declarations;
  declarations.reserve(tables_.size());
  for (const auto& table : tables_) declarations.push_back(table->declaration());
  return declarations;
}

Status HeapKeyedStateBackend::store_changes() {
  for (const auto& table : tables_) {
    WEIR_TRY(table->clean_up());
    table->reclaim();
  }
  if (!memory_.budget().is_limited() || ++slices_ % slices_between_looks != 0) return {};
  return check_budget();
}

/// A snapshot makes the tables larger while it is under way, so it goes before the job does.
Status HeapKeyedStateBackend::check_budget() {
  if (memory_.set(size_bytes())) return {};
  std::uint64_t kept_bytes = 0;
  for (const InFlight& snapshot : snapshots_)
    if (const auto given_up = snapshot.given_up.lock()) {
      *given_up = true;
      kept_bytes += snapshot.state_bytes;
    }
  // It notices soon; but what stands in a disk that hangs must not let the state grow without end.
  if (memory_.budget().used_bytes() <= memory_.budget().limit_bytes() + kept_bytes) return {};
  return error(Errc::limit_exceeded, "its state takes " + kibibytes(memory_.bytes()) +
                                         " in this subtask, and all state of this process " +
                                         kibibytes(memory_.budget().used_bytes()) + ", of " +
                                         mebibytes(memory_.budget().limit_bytes()) +
                                         " that it may take (taskmanager.memory.task.heap.size); "
                                         "raise that, or use the rocksdb backend");
}

Result<std::unique_ptr<SnapshotTask>> HeapKeyedStateBackend::begin_snapshot(
    const SnapshotRequest& request) {
  std::unique_ptr<SnapshotTask> task;
  if (writes_images_ && request.form != SnapshotForm::canonical) {
    task = begin_images(request);
  } else {
    std::vector<std::unique_ptr<FrozenTable>> frozen;
    frozen.reserve(tables_.size());
    for (const auto& table : tables_) frozen.push_back(table->freeze());
    task = std::make_unique<HeapSnapshotTask>(std::move(frozen));
  }
  if (!memory_.budget().is_limited()) return task;
  auto given_up = std::make_shared<std::atomic<bool>>(false);
  std::erase_if(snapshots_, [](const InFlight& one) { return one.given_up.expired(); });
  snapshots_.push_back({given_up, size_bytes()});
  return std::make_unique<BudgetedSnapshotTask>(
      std::move(task), std::move(given_up),
      operator_label_ +
          ": with what the snapshot keeps of its past, the state of this process takes "
          "more than " +
          mebibytes(memory_.budget().limit_bytes()) +
          " (taskmanager.memory.task.heap.size); raise that, or let checkpoints be further apart");
}

void HeapKeyedStateBackend::checkpoint_complete(CheckpointId id) {
  // Whoever names an older base from here on gets a whole snapshot: `find` has forgotten it.
  const auto images = chains_->find(id);
  if (images == nullptr) return;
  for (const auto& table : tables_)
    if (const auto known = images->find(table->declaration().name); known != images->end())
      table->confirm(known->second.epoch);
}

std::unique_ptr<SnapshotTask> HeapKeyedStateBackend::begin_images(const SnapshotRequest& request) {
  const bool incremental = request.form == SnapshotForm::incremental;
  std::shared_ptr<const BackendImages> base;
  if (incremental && request.base.value != 0) base = chains_->find(request.base);
  std::vector<ImageSnapshotTask::State> states;
  states.reserve(tables_.size());
  for (const auto& table : tables_) {
    ImageSnapshotTask::State& state = states.emplace_back();
    if (base != nullptr) {
      const auto images = base->find(table->declaration().name);
      if (images != base->end()) state.base = &images->second;
    }
    if (state.base != nullptr) table->confirm(state.base->epoch);
    state.table = table->freeze();
  }
  return std::make_unique<ImageSnapshotTask>(request.id, std::move(states), std::move(base),
                                             incremental ? chains_ : nullptr);
}

Result<std::vector<std::string>> HeapKeyedStateBackend::keys_of_group(std::uint32_t group) {
  std::vector<std::string> keys;
  for (const auto& table : tables_) table->append_keys(group, keys);
  std::ranges::sort(keys);
  const auto repeated = std::ranges::unique(keys);
  keys.erase(repeated.begin(), repeated.end());
  return keys;
}

std::uint64_t HeapKeyedStateBackend::size_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& table : tables_) bytes += table->memory_bytes();
  return bytes;
}

}  // namespace weir
