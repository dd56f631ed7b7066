#include "backends/rocksdb/rocksdb_keyed_state_backend.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include <rocksdb/iterator.h>

#include "state/bytes.hpp"
#include "state/entry_key.hpp"

namespace weir {

namespace {

/// Memory is made in pieces of about this much, so that no slice waits long for it.
constexpr std::size_t piece_bytes = std::size_t{8} << 20;
constexpr std::size_t least_piece_bytes = std::size_t{64} << 10;

/// The prefix keeps a state called "default" apart from the family that every database has.
std::string family_name(const TableBase& table) { return "state " + table.declaration().name; }

/// What all entries of `group` begin with.
std::string group_prefix(std::uint32_t group) {
  std::string prefix;
  ByteWriter(prefix).big_endian(static_cast<std::uint16_t>(group));
  return prefix;
}

class RocksDBSnapshotTask final : public SnapshotTask {
 public:
  struct Source {
    std::string name;
    rocksdb::ColumnFamilyHandle* family;
    LiveFilter filter;
    ValueFold fold;
  };
  RocksDBSnapshotTask(std::shared_ptr<FlushQueue> queue, std::shared_ptr<Flush> flush,
                      std::vector<Source> states)
      : queue_(std::move(queue)), flush_(std::move(flush)), states_(std::move(states)) {}
  ~RocksDBSnapshotTask() override { queue_->discard(*flush_); }

  Result<KeyedSnapshot> run(SnapshotSink& sink) override {
    WEIR_TRY_ASSIGN(snapshot, queue_->complete(*flush_));
    snapshot_ = std::move(snapshot);
    KeyedSnapshot written;
    for (const Source& state : states_) {
      WEIR_TRY_ASSIGN(handle, write(state, sink));
      written.handles.push_back(std::move(handle));
    }
    return written;
  }

 private:
  Result<KeyedStateHandle> write(const Source& state, SnapshotSink& sink) {
    const std::string what = queue_->database().path() + ": cannot read '" + state.name + "'";
    KeyedStateHandle handle;
    handle.state = state.name;
    sink.begin_state(state.name);

    rocksdb::ReadOptions options;
    options.snapshot = snapshot_->get();
    options.fill_cache = false;
    const std::unique_ptr<rocksdb::Iterator> entries(
        queue_->database().db().NewIterator(options, state.family));
    std::optional<ExtentWriter> extent;
    std::uint32_t group = 0;
    std::string buffer;
    std::string folded;
    for (entries->SeekToFirst(); entries->Valid(); entries->Next()) {
      const std::string_view key = view_of(entries->key());
      ByteReader reader(key);
      const std::uint32_t next_group = reader.big_endian<std::uint16_t>();
      if (reader.failed()) return error(Errc::corruption, what + ": a key is malformed");
      WEIR_TRY_ASSIGN(value, queue_->database().canonical(entries->value()));
      if (!state.filter.keep(value, buffer)) continue;
      // One value for each key, whatever was in memory when: so equal state has equal bytes.
      if (state.fold) WEIR_TRY(state.fold(value, folded));
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

  const std::shared_ptr<FlushQueue> queue_;
  const std::shared_ptr<Flush> flush_;
  const std::vector<Source> states_;
  std::unique_ptr<DatabaseSnapshot> snapshot_;
};

}  // namespace

Result<std::unique_ptr<RocksDBKeyedStateBackend>> RocksDBKeyedStateBackend::create(
    const KeyedStateBackendContext& context, std::shared_ptr<TableMemory> memory,
    std::shared_ptr<rocksdb::Cache> block_cache, const DatabaseSeams* seams) {
  WEIR_TRY_ASSIGN(database,
                  RocksDBDatabase::create(seams != nullptr ? *seams : DatabaseSeams(*context.files),
                                          context.local_directory, std::move(block_cache)));
  return std::unique_ptr<RocksDBKeyedStateBackend>(
      new RocksDBKeyedStateBackend(context, std::move(memory), std::move(database)));
}

RocksDBKeyedStateBackend::RocksDBKeyedStateBackend(const KeyedStateBackendContext& context,
                                                   std::shared_ptr<TableMemory> memory,
                                                   std::shared_ptr<RocksDBDatabase> database)
    : context_(context),
      memory_(std::move(memory)),
      restored_(context,
                [this](FileSystem&, const std::string&) -> Result<std::unique_ptr<NativeStates>> {
                  return std::make_unique<DatabaseStates>(database_);
                }),
      database_(std::move(database)),
      queue_(std::make_shared<FlushQueue>(database_)),
      horizon_(std::make_shared<ExpiryHorizon>()),
      restored_checkpoint_(context.restored_checkpoint) {}

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
  auto state = std::make_unique<State>();
  state->database = database_.get();
  state->table = std::move(table);
  state->memory = &memory_;
  state->label = "state '" + name + "'";
  state->table->set_backing(state.get(), entries.done());
  if (entries.done()) {
    WEIR_TRY(create_family(*state));
  } else {
    const KeyGroupRange groups = state->table->groups();
    std::unique_ptr<FileImport> import;
    if (entries.is_native() && !entries.changes_type())
      import =
          std::make_unique<FileImport>(*database_, family_name(*state->table),
                                       entries.native_parts(), groups, expiry_of(*state->table));
    loading_.push_back({state.get(), std::move(entries), std::move(import), nullptr});
  }
  states_.push_back(std::move(state));
  return {};
}

Status RocksDBKeyedStateBackend::create_family(State& state) {
  WEIR_TRY_ASSIGN(
      family, database_->create_column_family(family_name(*state.table), expiry_of(*state.table)));
  state.family = family;
  return {};
}

/// Null if nothing expires.
std::shared_ptr<ExpiryFilterFactory> RocksDBKeyedStateBackend::expiry_of(
    const TableBase& table) const {
  if (!table.has_ttl()) return nullptr;
  horizon_->advance(table.ttl().now_ms());
  return std::make_shared<ExpiryFilterFactory>(table.expiry_rule(), horizon_);
}

Result<bool> RocksDBKeyedStateBackend::load_restored() {
  if (!loading_.empty()) {
    Loading& loading = loading_.back();
    WEIR_TRY(loading.import ? import_piece(loading) : load_piece(loading));
  }
  if (!loading_.empty()) return false;
  if (restored_checkpoint_.value != 0)
    remembered_->remember(std::exchange(restored_checkpoint_, {}), std::move(restored_files_));
  restored_locations_.clear();
  return true;
}

Status RocksDBKeyedStateBackend::import_piece(Loading& loading) {
  WEIR_TRY_ASSIGN(outcome, loading.import->next());
  if (outcome == FileImport::Outcome::unfit) loading.import.reset();
  if (outcome != FileImport::Outcome::imported) return {};
  State& state = *loading.state;
  state.family = loading.import->family();
  // It may have runs of tables that are gone.
  WEIR_TRY_ASSIGN(newest, database_->newest_run(state.family));
  state.table->continue_runs_after(newest);
  note_restored(loading.import->known());
  loading_.pop_back();
  return {};
}

Status RocksDBKeyedStateBackend::load_piece(Loading& loading) {
  if (loading.files == nullptr) {
    WEIR_TRY(create_family(*loading.state));
    loading.files = std::make_unique<SortedFiles>(*database_);
  }
  WEIR_TRY(loading.entries.next([&](std::span<const EntryView> piece) -> Status {
    for (const EntryView& entry : piece)
      WEIR_TRY(loading.files->put(loading.state->family, entry.key, entry.value));
    return {};
  }));
  // File by file: the layout of the next one depends on what those before it need in memory.
  const bool done = loading.entries.done();
  if (done || loading.files->bytes() > database_->options().target_file_size_base) {
    WEIR_TRY(loading.files->ingest());
    loading.files = std::make_unique<SortedFiles>(*database_);
  }
  if (done) loading_.pop_back();
  return {};
}

/// Files of several states lie in one location, which is to be known as one.
void RocksDBKeyedStateBackend::note_restored(const KnownFiles& files) {
  if (restored_checkpoint_.value == 0) return;
  for (const auto& [number, file] : files) {
    KnownFile& known = restored_files_.emplace(number, file).first->second;
    const auto same = std::ranges::find_if(restored_locations_, [&](const auto& location) {
      return location == known.location || *location == *known.location;
    });
    if (same == restored_locations_.end())
      restored_locations_.push_back(known.location);
    else
      known.location = *same;
  }
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

Result<bool> RocksDBKeyedStateBackend::State::load(const LookUp& wanted, std::string& value) {
  WEIR_TRY_ASSIGN(found, database->get(family, wanted, value));
  if (found) WEIR_TRY(check_size(value.size()));
  return found;
}

Status RocksDBKeyedStateBackend::State::load_all(
    std::span<const LookUp> wanted,
    const std::function<Status(std::size_t index, std::string_view value)>& visit) {
  return database->get_all(family, wanted,
                           [&](std::size_t index, std::string_view value) -> Status {
                             WEIR_TRY(check_size(value.size()));
                             return visit(index, value);
                           });
}

Status RocksDBKeyedStateBackend::State::check_size(std::size_t bytes) const {
  const std::size_t most = memory->entry_bytes_max();
  if (bytes <= most) return {};
  return error(Errc::limit_exceeded,
               label + ": an entry takes " + std::to_string(bytes >> 10) + " KiB, more than the " +
                   std::to_string(most >> 10) +
                   " KiB of memory that the tables of a subtask have; raise "
                   "state.backend.rocksdb.memory.fixed-per-tm, or divide the entry: each map key "
                   "of a MapState has one of its own");
}

Status RocksDBKeyedStateBackend::State::scan(
    std::string_view prefix, const std::function<bool(std::string_view, std::string_view)>& visit) {
  const std::unique_ptr<rocksdb::Iterator> entries(
      database->db().NewIterator(rocksdb::ReadOptions(), family));
  for (entries->Seek(slice_of(prefix)); entries->Valid(); entries->Next()) {
    const std::string_view key = view_of(entries->key());
    if (!key.starts_with(prefix)) break;
    WEIR_TRY_ASSIGN(value, database->canonical(entries->value()));
    if (!visit(key, value)) break;
  }
  return to_error(entries->status(), database->path() + ": cannot scan");
}

Status RocksDBKeyedStateBackend::store_changes() {
  for (const auto& state : states_) {
    if (state->table->has_ttl()) horizon_->advance(state->table->ttl().now_ms());
    WEIR_TRY(state->table->clean_up());
  }
  confirm();
  for (const auto& state : states_) state->table->reclaim();
  return table_bytes() > memory_.bytes() ? make_room() : Status();
}

void RocksDBKeyedStateBackend::confirm() {
  const std::uint64_t completed = queue_->newest_completed();
  while (!frozen_.empty() && frozen_.front().flush <= completed) {
    // Whatever an older flush had that was given up is in the newer one too.
    for (std::size_t i = 0; i < frozen_.front().epochs.size(); ++i)
      states_[i]->table->confirm(frozen_.front().epochs[i]);
    frozen_.pop_front();
  }
}

std::size_t RocksDBKeyedStateBackend::table_bytes() {
  std::size_t bytes = 0;
  for (const auto& state : states_) bytes += state->table->estimated_bytes();
  return bytes;
}

void RocksDBKeyedStateBackend::evict(std::size_t target_bytes) {
  const double kept = static_cast<double>(target_bytes) / static_cast<double>(table_bytes());
  for (const auto& state : states_)
    state->table->evict(
        static_cast<std::size_t>(kept * static_cast<double>(state->table->estimated_bytes())));
}

Status RocksDBKeyedStateBackend::make_room() {
  const std::size_t allowed = memory_.bytes();
  const std::size_t target = allowed - std::min(allowed / 8, piece_bytes / 2);
  for (;;) {
    evict(target);
    if (table_bytes() <= allowed) return {};
    WEIR_TRY_ASSIGN(worked, flush_some());
    if (!worked) return {};
    evict(target);
    // A little too much can wait for the next slice; how far that goes is bounded here.
    if (table_bytes() <= allowed + allowed / 8) return {};
  }
}

Result<bool> RocksDBKeyedStateBackend::flush_some() {
  // What was frozen earlier comes first.
  if (queue_->help()) {
    confirm();
    for (const auto& state : states_) state->table->reclaim();
    return true;
  }
  SortedFiles files(*database_);
  const std::uint64_t enough =
      std::clamp<std::uint64_t>(memory_.bytes() / 4, least_piece_bytes, piece_bytes);
  const std::size_t all = states_.size() * context_.groups.size();
  for (std::size_t tried = 0; tried < all && files.bytes() < enough; ++tried) {
    WEIR_TRY(flush_group(*states_[next_state_], context_.groups.first + next_group_, files));
    if (++next_group_ < context_.groups.size()) continue;
    next_group_ = 0;
    if (++next_state_ < states_.size()) continue;
    next_state_ = 0;
    if (files.bytes() > 0) break;  // files are written in ascending order
  }
  const bool worked = files.bytes() > 0;
  WEIR_TRY(files.ingest());
  return worked;
}

Status RocksDBKeyedStateBackend::flush_group(State& state, std::uint32_t group,
                                             SortedFiles& files) {
  return state.table->flush_group(group, [&](auto key, auto value, std::uint32_t run) -> Status {
    if (value) WEIR_TRY(state.check_size(value->size()));
    return files.change(state.family, key, value, run);
  });
}

Result<std::unique_ptr<SnapshotTask>> RocksDBKeyedStateBackend::begin_snapshot(
    const SnapshotRequest& request) {
  confirm();
  std::vector<Flush::Part> parts;
  std::vector<RocksDBSnapshotTask::Source> sources;
  Frozen frozen;
  for (const auto& state : states_) {
    sources.push_back({state->table->declaration().name, state->family,
                       state->table->snapshot_filter(), state->table->value_fold()});
    auto table = state->table->freeze();
    frozen.epochs.push_back(table->epoch());
    parts.push_back({state->family, std::move(table)});
  }
  const bool native = request.form != SnapshotForm::canonical;
  std::shared_ptr<NativeSnapshotTask::Cut> cut;
  std::function<Status()> take_cut;
  if (native) {
    cut = std::make_shared<NativeSnapshotTask::Cut>();
    take_cut = make_cut(request, cut);
  }
  const bool expires =
      std::ranges::any_of(states_, [](const auto& state) { return state->table->has_ttl(); });
  auto flush = queue_->append(std::move(parts),
                              expires ? std::make_unique<ExpiryHorizon::Hold>(horizon_) : nullptr,
                              std::move(take_cut));
  frozen.flush = flush->number;
  frozen_.push_back(std::move(frozen));
  if (!native)
    return std::make_unique<RocksDBSnapshotTask>(queue_, std::move(flush), std::move(sources));
  NativeSnapshotTask::Options options{request.id, context_.groups, {}, nullptr};
  for (const auto& source : sources) options.states.push_back(source.name);
  if (request.form == SnapshotForm::incremental) options.remembered = remembered_;
  return std::make_unique<NativeSnapshotTask>(queue_, std::move(flush), std::move(cut),
                                              std::move(options));
}

/// What is done behind the flush of a native snapshot: its files are held on to.
std::function<Status()> RocksDBKeyedStateBackend::make_cut(
    const SnapshotRequest& request, std::shared_ptr<NativeSnapshotTask::Cut> cut) const {
  std::vector<rocksdb::ColumnFamilyHandle*> families;
  for (const auto& state : states_) families.push_back(state->family);
  std::shared_ptr<const KnownFiles> base;
  if (request.form == SnapshotForm::incremental && request.base.value != 0)
    base = remembered_->find(request.base);
  return [database = database_, families = std::move(families), base = std::move(base),
          cut = std::move(cut)]() -> Status {
    WEIR_TRY_ASSIGN(files, DatabaseFiles::take(database, families, base));
    cut->files = std::move(files);
    return {};
  };
}

Result<std::vector<std::string>> RocksDBKeyedStateBackend::keys_of_group(std::uint32_t group) {
  while (queue_->help()) {
  }
  confirm();
  SortedFiles files(*database_);
  for (const auto& state : states_) WEIR_TRY(flush_group(*state, group, files));
  WEIR_TRY(files.ingest());
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
      WEIR_TRY_ASSIGN(value, database_->canonical(entries->value()));
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
    std::uint64_t files = 0;
    if (state->family != nullptr &&
        database_->db().GetIntProperty(state->family, "rocksdb.total-sst-files-size", &files))
      bytes += files;
  }
  return bytes;
}

void RocksDBKeyedStateBackend::dispose() {
  loading_.clear();  // before the database that its files are written with
  states_.clear();
  queue_.reset();
  database_->remove_when_closed();
  database_.reset();
}

}  // namespace weir
