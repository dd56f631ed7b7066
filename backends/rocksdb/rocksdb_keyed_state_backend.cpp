#include "backends/rocksdb/rocksdb_keyed_state_backend.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include <rocksdb/iterator.h>

#include "state/bytes.hpp"
#include "state/entry_key.hpp"

namespace weir {

namespace {

constexpr std::size_t scan_readahead_bytes = std::size_t{2} << 20;
/// A restored file is closed and the next one begun when it has become larger than this.
constexpr std::uint64_t restored_file_bytes = std::uint64_t{256} << 20;

/// What all entries of `group` begin with.
std::string group_prefix(std::uint32_t group) {
  std::string prefix;
  ByteWriter(prefix).big_endian(static_cast<std::uint16_t>(group));
  return prefix;
}

/// One of RocksDB's snapshots; released when destroyed.
class DatabaseSnapshot {
 public:
  explicit DatabaseSnapshot(std::shared_ptr<RocksDBDatabase> database)
      : database_(std::move(database)), snapshot_(database_->db().GetSnapshot()) {}
  ~DatabaseSnapshot() { database_->db().ReleaseSnapshot(snapshot_); }
  DatabaseSnapshot(const DatabaseSnapshot&) = delete;
  DatabaseSnapshot& operator=(const DatabaseSnapshot&) = delete;

  [[nodiscard]] RocksDBDatabase& database() { return *database_; }
  [[nodiscard]] const rocksdb::Snapshot* get() const { return snapshot_; }

 private:
  std::shared_ptr<RocksDBDatabase> database_;
  const rocksdb::Snapshot* snapshot_;
};

class RocksDBSnapshotTask final : public SnapshotTask {
 public:
  struct Source {
    std::string name;
    rocksdb::ColumnFamilyHandle* family;
    LiveFilter filter;
  };
  RocksDBSnapshotTask(std::shared_ptr<RocksDBDatabase> database, std::vector<Source> states)
      : snapshot_(std::move(database)), states_(std::move(states)) {}

  Result<KeyedSnapshot> run(SnapshotSink& sink) override {
    KeyedSnapshot written;
    for (const Source& state : states_) {
      WEIR_TRY_ASSIGN(handle, write(state, sink));
      written.handles.push_back(std::move(handle));
    }
    return written;
  }

 private:
  Result<KeyedStateHandle> write(const Source& state, SnapshotSink& sink) {
    const std::string what = snapshot_.database().path() + ": cannot read '" + state.name + "'";
    KeyedStateHandle handle;
    handle.state = state.name;
    sink.begin_state(state.name);

    rocksdb::ReadOptions options;
    options.snapshot = snapshot_.get();
    options.fill_cache = false;
    options.readahead_size = scan_readahead_bytes;
    const std::unique_ptr<rocksdb::Iterator> entries(
        snapshot_.database().db().NewIterator(options, state.family));
    std::optional<ExtentWriter> extent;
    std::uint32_t group = 0;
    std::string buffer;
    for (entries->SeekToFirst(); entries->Valid(); entries->Next()) {
      const std::string_view key = view_of(entries->key());
      ByteReader reader(key);
      const std::uint32_t next_group = reader.big_endian<std::uint16_t>();
      if (reader.failed()) return error(Errc::corruption, what + ": a key is malformed");
      std::string_view value = view_of(entries->value());
      if (!state.filter.keep(value, buffer)) continue;
      if (extent && next_group != group) {
        WEIR_TRY_ASSIGN(finished, extent->finish());
        handle.groups.push_back(finished);
        extent.reset();
      }
      group = next_group;
      if (!extent) extent.emplace(sink, group);
      WEIR_TRY(extent->add(key, value));
    }
    WEIR_TRY(to_error(entries->status(), what));
    if (extent) {
      WEIR_TRY_ASSIGN(finished, extent->finish());
      handle.groups.push_back(finished);
    }
    return handle;
  }

  DatabaseSnapshot snapshot_;
  std::vector<Source> states_;
};

}  // namespace

Result<std::unique_ptr<KeyedStateBackend>> RocksDBKeyedStateBackend::create(
    const KeyedStateBackendContext& context, std::size_t cache_bytes,
    std::shared_ptr<rocksdb::Cache> block_cache,
    std::shared_ptr<rocksdb::WriteBufferManager> write_buffer) {
  WEIR_TRY_ASSIGN(database,
                  RocksDBDatabase::create(*context.files, context.local_directory,
                                          std::move(block_cache), std::move(write_buffer)));
  return std::unique_ptr<KeyedStateBackend>(
      new RocksDBKeyedStateBackend(context, cache_bytes, std::move(database)));
}

RocksDBKeyedStateBackend::RocksDBKeyedStateBackend(const KeyedStateBackendContext& context,
                                                   std::size_t cache_bytes,
                                                   std::shared_ptr<RocksDBDatabase> database)
    : context_(context),
      cache_bytes_(cache_bytes),
      restored_(context.operator_label),
      database_(std::move(database)) {}

Status RocksDBKeyedStateBackend::restore(std::vector<RestoredKeyedState> states) {
  WEIR_ASSERT(states_.empty());
  restored_.set(std::move(states));
  return {};
}

Status RocksDBKeyedStateBackend::add_table(std::unique_ptr<TableBase> table) {
  const std::string& name = table->declaration().name;
  for (const auto& other : states_)
    if (other->table->declaration().name == name)
      return error(Errc::already_exists, context_.operator_label + " has two states named '" +
                                             name + "'; names are unique within an operator");
  WEIR_TRY_ASSIGN(entries, restored_.claim(*table));
  // The prefix keeps a state called "default" apart from the family that every database has.
  WEIR_TRY_ASSIGN(family, database_->create_column_family("state " + name));
  auto state = std::make_unique<State>();
  state->database = database_.get();
  state->family = family;
  state->table = std::move(table);
  state->table->set_backing(state.get(), entries.done());
  if (!entries.done()) loading_.push_back({state.get(), std::move(entries), {}});
  states_.push_back(std::move(state));
  return {};
}

Result<bool> RocksDBKeyedStateBackend::load_restored() {
  if (loading_.empty()) return true;
  Loading& loading = loading_.back();
  WEIR_TRY(loading.entries.next([&](std::span<const EntryView> piece) -> Status {
    for (const EntryView& entry : piece) WEIR_TRY(write_restored(loading, entry));
    return {};
  }));
  if (loading.writer && loading.entries.at_group_begin() &&
      (loading.entries.done() || loading.writer->FileSize() > restored_file_bytes))
    WEIR_TRY(finish_file(loading));
  if (loading.entries.done()) {
    if (!loading.files.empty()) WEIR_TRY(database_->ingest(loading.state->family, loading.files));
    loading_.pop_back();
  }
  return loading_.empty();
}

Status RocksDBKeyedStateBackend::write_restored(Loading& loading, const EntryView& entry) {
  if (!loading.writer) {
    loading.files.push_back(database_->directory() + "/restored-" +
                            std::to_string(restored_files_++) + ".sst");
    loading.writer = std::make_unique<rocksdb::SstFileWriter>(
        rocksdb::EnvOptions(), database_->options(), loading.state->family);
    WEIR_TRY(to_error(loading.writer->Open(loading.files.back()),
                      loading.files.back() + ": cannot create"));
  }
  return to_error(loading.writer->Put(slice_of(entry.key), slice_of(entry.value)),
                  loading.files.back() + ": cannot write");
}

Status RocksDBKeyedStateBackend::finish_file(Loading& loading) {
  WEIR_TRY(to_error(loading.writer->Finish(), loading.files.back() + ": cannot finish"));
  loading.writer.reset();
  return {};
}

std::vector<std::string> RocksDBKeyedStateBackend::unclaimed_states() const {
  return restored_.names();
}

std::vector<StateDeclaration> RocksDBKeyedStateBackend::declarations() const {
  std::vector<StateDeclaration> declarations;
  declarations.reserve(states_.size());
  for (const auto& state : states_) declarations.push_back(state->table->declaration());
  return declarations;
}

Status RocksDBKeyedStateBackend::State::scan(
    std::string_view prefix, std::string_view from,
    const std::function<bool(std::string_view, std::string_view)>& visit) {
  const std::unique_ptr<rocksdb::Iterator> entries(
      database->db().NewIterator(rocksdb::ReadOptions(), family));
  for (entries->Seek(slice_of(from)); entries->Valid(); entries->Next()) {
    const std::string_view key = view_of(entries->key());
    if (!key.starts_with(prefix) || !visit(key, view_of(entries->value()))) break;
  }
  return to_error(entries->status(), database->path() + ": cannot scan");
}

Status RocksDBKeyedStateBackend::store_changes() {
  for (const auto& state : states_) WEIR_TRY(state->table->clean_up());
  rocksdb::WriteBatch batch;
  rocksdb::Status failed;
  for (const auto& state : states_) {
    state->table->for_each_change([&](std::string_view key, const std::string* value) {
      const rocksdb::Status status = value != nullptr
                                         ? batch.Put(state->family, slice_of(key), *value)
                                         : batch.Delete(state->family, slice_of(key));
      if (!status.ok()) failed = status;
    });
  }
  WEIR_TRY(to_error(failed, database_->path() + ": cannot collect changes"));
  if (batch.Count() > 0) WEIR_TRY(database_->write(batch));
  for (const auto& state : states_) {
    state->table->forget_changes();
    state->table->drop_groups(cache_bytes_);
  }
  return {};
}

Result<std::unique_ptr<SnapshotTask>> RocksDBKeyedStateBackend::begin_snapshot(
    const SnapshotRequest&) {
  const bool changed =
      std::ranges::any_of(states_, [](const auto& state) { return state->table->has_changes(); });
  if (changed) WEIR_TRY(store_changes());
  std::vector<RocksDBSnapshotTask::Source> sources;
  sources.reserve(states_.size());
  for (const auto& state : states_)
    sources.push_back(
        {state->table->declaration().name, state->family, state->table->snapshot_filter()});
  return std::make_unique<RocksDBSnapshotTask>(database_, std::move(sources));
}

Result<std::vector<std::string>> RocksDBKeyedStateBackend::keys_of_group(std::uint32_t group) {
  WEIR_TRY(store_changes());
  const std::string begin = group_prefix(group);
  const std::string end = group_prefix(group + 1);
  const rocksdb::Slice end_slice = end;
  rocksdb::ReadOptions options;
  options.iterate_upper_bound = &end_slice;
  std::vector<std::string> keys;
  std::string buffer;
  for (const auto& state : states_) {
    const LiveFilter filter = state->table->live_filter();
    const std::unique_ptr<rocksdb::Iterator> entries(
        database_->db().NewIterator(options, state->family));
    for (entries->Seek(begin); entries->Valid(); entries->Next()) {
      EntryKey entry;
      if (!read_entry_key(view_of(entries->key()), context_.key_width, entry))
        return error(Errc::corruption, database_->path() + ": a key is malformed");
      std::string_view value = view_of(entries->value());
      // The entries of one key stand together.
      const bool is_new = keys.empty() || keys.back() != entry.key;
      if (is_new && filter.keep(value, buffer)) keys.emplace_back(entry.key);
    }
    WEIR_TRY(to_error(entries->status(), database_->path() + ": cannot scan"));
  }
  std::ranges::sort(keys);
  const auto repeated = std::ranges::unique(keys);
  keys.erase(repeated.begin(), repeated.end());
  return keys;
}

std::uint64_t RocksDBKeyedStateBackend::size_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& state : states_) {
    bytes += state->table->memory_bytes();
    for (const char* property :
         {"rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables"}) {
      std::uint64_t part = 0;
      if (database_->db().GetIntProperty(state->family, property, &part)) bytes += part;
    }
  }
  return bytes;
}

void RocksDBKeyedStateBackend::dispose() {
  loading_.clear();  // before the database that its files are written with
  states_.clear();
  database_->remove_when_closed();
  database_.reset();
}

}  // namespace weir
