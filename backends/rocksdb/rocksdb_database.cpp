#include "backends/rocksdb/rocksdb_database.hpp"

#include <utility>

#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include "backends/rocksdb/unsynced_file_system.hpp"
#include "state/remove_tree.hpp"

namespace weir {

namespace {

constexpr double bloom_bits_per_key = 10;
constexpr int background_jobs = 2;

rocksdb::Options make_options(rocksdb::Env* env, std::shared_ptr<rocksdb::Cache> cache,
                              std::shared_ptr<rocksdb::WriteBufferManager> write_buffer) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = std::move(cache);
  table.cache_index_and_filter_blocks = true;  // or they would escape the memory budget
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(bloom_bits_per_key));

  rocksdb::Options options;
  options.env = env;
  options.create_if_missing = true;
  options.error_if_exists = true;
  options.write_buffer_manager = std::move(write_buffer);
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.compression = rocksdb::kLZ4Compression;
  options.max_background_jobs = background_jobs;
  options.max_file_opening_threads = 1;        // a new database has no files to open
  options.avoid_flush_during_shutdown = true;  // what is not in a checkpoint is not needed again
  options.info_log_level = rocksdb::InfoLogLevel::ERROR_LEVEL;
  options.keep_log_file_num = 1;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  return options;
}

}  // namespace

Status to_error(const rocksdb::Status& status, const std::string& what) {
  if (status.ok()) return {};
  Errc code = Errc::io_error;
  if (status.IsNotFound()) code = Errc::not_found;
  if (status.IsCorruption()) code = Errc::corruption;
  if (status.IsMemoryLimit()) code = Errc::limit_exceeded;
  return error(code, what + ": RocksDB: " + status.ToString());
}

RocksDBDatabase::RocksDBDatabase(FileSystem& files, std::string directory,
                                 std::shared_ptr<rocksdb::Cache> cache,
                                 std::shared_ptr<rocksdb::WriteBufferManager> write_buffer)
    : files_(files),
      directory_(std::move(directory)),
      path_(directory_ + "/db"),
      env_(rocksdb::NewCompositeEnv(
          std::make_shared<UnsyncedFileSystem>(rocksdb::FileSystem::Default()))),
      options_(make_options(env_.get(), std::move(cache), std::move(write_buffer))) {}

Result<std::shared_ptr<RocksDBDatabase>> RocksDBDatabase::create(
    FileSystem& files, const std::string& directory, std::shared_ptr<rocksdb::Cache> cache,
    std::shared_ptr<rocksdb::WriteBufferManager> write_buffer) {
  WEIR_TRY(files.create_directories(directory));
  std::shared_ptr<RocksDBDatabase> database(
      new RocksDBDatabase(files, directory, std::move(cache), std::move(write_buffer)));
  // A process that was killed leaves its database; under RocksDB's lock nobody else's can be taken for one.
  if (files.stat(database->path_))
    WEIR_TRY(to_error(rocksdb::DestroyDB(database->path_, database->options_),
                      database->path_ + ": cannot remove the database of an earlier process"));
  rocksdb::DB* db = nullptr;
  WEIR_TRY(to_error(rocksdb::DB::Open(database->options_, database->path_, &db),
                    database->path_ + ": cannot create the database"));
  database->db_.reset(db);
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

Result<rocksdb::ColumnFamilyHandle*> RocksDBDatabase::create_column_family(
    const std::string& name) {
  rocksdb::ColumnFamilyHandle* family = nullptr;
  WEIR_TRY(to_error(db_->CreateColumnFamily(options_, name, &family),
                    path_ + ": cannot create the column family '" + name + "'"));
  families_.push_back(family);
  return family;
}

Result<bool> RocksDBDatabase::get(rocksdb::ColumnFamilyHandle* family, std::string_view key,
                                  std::string& value) {
  const auto status = db_->Get(rocksdb::ReadOptions(), family, slice_of(key), &value);
  if (status.IsNotFound()) return false;
  WEIR_TRY(to_error(status, path_ + ": cannot read an entry of '" + family->GetName() + "'"));
  return true;
}

Status RocksDBDatabase::write(rocksdb::WriteBatch& batch) {
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  return to_error(db_->Write(options, &batch), path_ + ": cannot write");
}

Status RocksDBDatabase::ingest(rocksdb::ColumnFamilyHandle* family,
                               const std::vector<std::string>& files) {
  rocksdb::IngestExternalFileOptions options;
  options.move_files = true;
  return to_error(db_->IngestExternalFile(family, files, options),
                  path_ + ": cannot ingest restored entries of '" + family->GetName() + "'");
}

}  // namespace weir
