#include "backends/rocksdb/rocksdb_database.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include "backends/rocksdb/expiry_filter.hpp"
#include "backends/rocksdb/run_merging.hpp"
#include "backends/rocksdb/stored_value.hpp"
#include "backends/rocksdb/unsynced_file_system.hpp"
#include "state/remove_tree.hpp"

namespace weir {

namespace {

constexpr int background_jobs = 2;
/// Files that have just been ingested are merged with those below when there are so many: each spans
/// some key groups, so that a key lies in only a few of them.
constexpr int ingested_files = 24;

/// Begins the names of files beside the database.
constexpr std::string_view new_file_prefix = "beside-";

/// The memtable stays empty, so it need not have room.
constexpr std::size_t memtable_bytes = std::size_t{64} << 10;

rocksdb::Options make_options(rocksdb::Env* env, const TableFiles& files, bool compacts_itself) {
  rocksdb::Options options;
  options.env = env;
  options.create_if_missing = true;
  options.error_if_exists = true;
  options.write_buffer_size = memtable_bytes;
  files.apply_to(options);
  options.compression = rocksdb::kLZ4Compression;
  options.max_background_jobs = background_jobs;
  options.level0_file_num_compaction_trigger = ingested_files;
  options.disable_auto_compactions = !compacts_itself;
  options.max_file_opening_threads = 1;        // a new database has no files to open
  options.avoid_flush_during_shutdown = true;  // what is not in a checkpoint is not needed again
  options.info_log_level = rocksdb::InfoLogLevel::ERROR_LEVEL;
  options.keep_log_file_num = 1;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.db_host_id.clear();  // what is kept in a snapshot says nothing of the machine
  merge_runs(options);
  return options;
}

/// What went wrong where. The state of an IO error says all that `ToString` does, which repeats it.
std::string said_by(const rocksdb::Status& status) {
  const char* const state = status.getState();
  return status.IsIOError() && state != nullptr ? state : status.ToString();
}

/// What to do about it, as the end of a sentence, where that is known. Errors of files carry only the text of errno.
std::string remedy_for(const rocksdb::Status& status) {
  if (status.IsNoSpace())
    return "; make room there, or set state.backend.rocksdb.localdir to a larger disk";
  if (status.IsIOError() && status.ToString().contains(std::strerror(EMFILE)))
    return "; raise the limit of open files (ulimit -n), or lower the parallelism";
  return {};
}

}  // namespace

Status to_error(const rocksdb::Status& status, const std::string& what) {
  if (status.ok()) return {};
  Errc code = Errc::io_error;
  if (status.IsNotFound()) code = Errc::not_found;
  if (status.IsCorruption()) code = Errc::corruption;
  if (status.IsMemoryLimit()) code = Errc::limit_exceeded;
  return error(code, what + ": RocksDB: " + said_by(status) + remedy_for(status));
}

RocksDBDatabase::RocksDBDatabase(const DatabaseSeams& seams, std::string directory,
                                 std::shared_ptr<rocksdb::Cache> cache)
    : files_(*seams.files),
      directory_(std::move(directory)),
      path_(directory_ + "/db"),
      env_(rocksdb::NewCompositeEnv(std::make_shared<UnsyncedFileSystem>(seams.native_files))),
      table_files_(std::move(cache)),
      options_(make_options(env_.get(), table_files_, !seams.opened)) {}

Result<std::shared_ptr<RocksDBDatabase>> RocksDBDatabase::create(
    const DatabaseSeams& seams, const std::string& directory,
    std::shared_ptr<rocksdb::Cache> cache) {
  FileSystem& files = *seams.files;
  WEIR_TRY(files.create_directories(directory));
  std::shared_ptr<RocksDBDatabase> database(
      new RocksDBDatabase(seams, directory, std::move(cache)));
  // A process that was killed leaves its database; under RocksDB's lock nobody else's can be taken for one.
  if (files.stat(database->path_))
    WEIR_TRY(to_error(rocksdb::DestroyDB(database->path_, database->options_),
                      database->path_ + ": cannot remove the database of an earlier process"));
  WEIR_TRY_ASSIGN(left, files.list(directory));
  for (const DirectoryEntry& entry : left)
    if (is_new_file(entry.name)) WEIR_TRY(files.remove(directory + "/" + entry.name));
  rocksdb::DB* db = nullptr;
  WEIR_TRY(to_error(rocksdb::DB::Open(database->options_, database->path_, &db),
                    database->path_ + ": cannot create the database"));
  database->db_.reset(db);
  // A snapshot of sequence number 0 would make a compaction drop all that has this number, as files have
  // that were ingested beside others. So no snapshot has it: this counts up.
  rocksdb::WriteOptions unlogged;
  unlogged.disableWAL = true;
  WEIR_TRY(to_error(db->Delete(unlogged, "none"), database->path_ + ": cannot write"));
  if (seams.opened) seams.opened(database);
  return database;
}

RocksDBDatabase::~RocksDBDatabase() {
  if (db_) {
    // Neither call can lose anything that a checkpoint holds, so there is nobody to tell of a failure.
    for (rocksdb::ColumnFamilyHandle* family : families_) db_->DestroyColumnFamilyHandle(family);
    db_->Close().PermitUncheckedError();
    db_.reset();
  }
  // Asked for by name, and not sooner: a snapshot that was still being written has read these files.
  if (remove_when_closed_) remove_tree(files_, directory_);
}

rocksdb::ColumnFamilyOptions RocksDBDatabase::family_options(
    std::shared_ptr<ExpiryFilterFactory> expiry) const {
  rocksdb::ColumnFamilyOptions options = options_;
  if (expiry == nullptr) return options;
  expire_by(std::move(expiry), options);
  options.table_factory = table_files_.in_partitions();
  return options;
}

Result<rocksdb::ColumnFamilyHandle*> RocksDBDatabase::create_column_family(
    const std::string& name, std::shared_ptr<ExpiryFilterFactory> expiry) {
  rocksdb::ColumnFamilyHandle* family = nullptr;
  WEIR_TRY(to_error(db_->CreateColumnFamily(family_options(std::move(expiry)), name, &family),
                    path_ + ": cannot create the column family '" + name + "'"));
  families_.push_back(family);
  return family;
}

Result<rocksdb::ColumnFamilyHandle*> RocksDBDatabase::import_column_family(
    const std::string& name, std::vector<rocksdb::LiveFileMetaData> files,
    std::shared_ptr<ExpiryFilterFactory> expiry) {
  rocksdb::ExportImportFilesMetaData metadata;
  metadata.db_comparator_name = options_.comparator->Name();
  metadata.files = std::move(files);
  rocksdb::ColumnFamilyOptions options = family_options(std::move(expiry));
  options.disable_auto_compactions = true;
  rocksdb::ImportColumnFamilyOptions import;
  import.move_files = true;
  rocksdb::ColumnFamilyHandle* family = nullptr;
  WEIR_TRY(to_error(db_->CreateColumnFamilyWithImport(options, name, import, metadata, &family),
                    path_ + ": cannot take the files of the column family '" + name + "' in"));
  families_.push_back(family);
  return family;
}

Status RocksDBDatabase::allow_compactions(rocksdb::ColumnFamilyHandle* family) {
  if (options_.disable_auto_compactions) return {};
  return to_error(db_->EnableAutoCompaction({family}), path_ + ": cannot begin to compact");
}

Status RocksDBDatabase::drop_column_family(rocksdb::ColumnFamilyHandle* family) {
  const std::string what = path_ + ": cannot drop the column family '" + family->GetName() + "'";
  std::erase(families_, family);
  const rocksdb::Status dropped = db_->DropColumnFamily(family);
  const rocksdb::Status released = db_->DestroyColumnFamilyHandle(family);
  return to_error(dropped.ok() ? released : dropped, what);
}

Result<bool> RocksDBDatabase::get(rocksdb::ColumnFamilyHandle* family, const LookUp& wanted,
                                  std::string& value) {
  rocksdb::ReadOptions options;
  options.fill_cache = !table_files_.leave_no_blocks();
  const auto status = db_->Get(options, family, slice_of(wanted.entry_key), &value);
  if (status.IsNotFound()) return false;
  WEIR_TRY(to_error(status, path_ + ": cannot read an entry of '" + family->GetName() + "'"));
  const auto stored = read_stored_value(value);
  if (!stored) return damaged();
  value.resize(stored->below(wanted.below_run).size());
  return true;
}

Status RocksDBDatabase::get_all(
    rocksdb::ColumnFamilyHandle* family, std::span<const LookUp> wanted,
    const std::function<Status(std::size_t index, std::string_view value)>& visit) {
  std::vector<rocksdb::Slice> slices;
  slices.reserve(wanted.size());
  for (const LookUp& one : wanted) slices.push_back(slice_of(one.entry_key));
  std::vector<rocksdb::PinnableSlice> values(wanted.size());
  std::vector<rocksdb::Status> statuses(wanted.size());
  constexpr bool sorted = true;
  rocksdb::ReadOptions options;
  options.fill_cache = !table_files_.leave_no_blocks();
  db_->MultiGet(options, family, wanted.size(), slices.data(), values.data(), statuses.data(),
                sorted);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (statuses[i].IsNotFound()) continue;
    WEIR_TRY(
        to_error(statuses[i], path_ + ": cannot read an entry of '" + family->GetName() + "'"));
    const auto stored = read_stored_value(view_of(values[i]));
    if (!stored) return damaged();
    WEIR_TRY(visit(i, stored->below(wanted[i].below_run)));
  }
  return {};
}

Result<std::string_view> RocksDBDatabase::canonical(const rocksdb::Slice& stored) const {
  const auto value = read_stored_value(view_of(stored));
  if (!value) return damaged();
  return value->canonical;
}

std::unexpected<Error> RocksDBDatabase::damaged() const {
  return error(Errc::corruption, path_ + ": a stored value is malformed");
}

Result<std::uint32_t> RocksDBDatabase::newest_run(rocksdb::ColumnFamilyHandle* family) {
  rocksdb::TablePropertiesCollection files;
  WEIR_TRY(to_error(db_->GetPropertiesOfAllTables(family, &files),
                    path_ + ": cannot read the properties of its files"));
  return newest_run_of(files);
}

std::string RocksDBDatabase::new_file() {
  return directory_ + "/" + std::string(new_file_prefix) + std::to_string(new_files_.fetch_add(1)) +
         ".sst";
}

bool RocksDBDatabase::is_new_file(std::string_view name) {
  return name.starts_with(new_file_prefix);
}

void RocksDBDatabase::remove_file(const std::string& path) {
  if (!files_.remove(path)) return;
}

}  // namespace weir
