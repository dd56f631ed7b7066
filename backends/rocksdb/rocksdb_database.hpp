#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/write_batch.h>
#include <rocksdb/write_buffer_manager.h>

#include "state/file_system.hpp"
#include "state/result.hpp"

namespace weir {

/// RocksDB's answer as ours. `what` names the path and what was being done with it.
[[nodiscard]] Status to_error(const rocksdb::Status& status, const std::string& what);

[[nodiscard]] inline rocksdb::Slice slice_of(std::string_view bytes) {
  return {bytes.data(), bytes.size()};
}
[[nodiscard]] inline std::string_view view_of(const rocksdb::Slice& slice) {
  return {slice.data(), slice.size()};
}

/// An open database with its column families, shared by a backend and its snapshots: it is closed when
/// the last of them lets go, and its directory is removed then if `remove_when_closed` was called. It
/// writes no log and syncs nothing: what is not in a checkpoint is lost with the task anyway.
/// Threads: any, but for `create_column_family` and `remove_when_closed`, which the task calls alone.
class RocksDBDatabase {
 public:
  /// Creates an empty database in `directory`, which is made; what a killed process has left of one
  /// there is removed. Cache and write buffer belong to the process; `files` outlives the database.
  /// Errors: `io_error`, also if the database is in use.
  [[nodiscard]] static Result<std::shared_ptr<RocksDBDatabase>> create(
      FileSystem& files, const std::string& directory, std::shared_ptr<rocksdb::Cache> cache,
      std::shared_ptr<rocksdb::WriteBufferManager> write_buffer);
  ~RocksDBDatabase();
  RocksDBDatabase(const RocksDBDatabase&) = delete;
  RocksDBDatabase& operator=(const RocksDBDatabase&) = delete;

  /// The handle belongs to the database. Errors: `io_error`.
  [[nodiscard]] Result<rocksdb::ColumnFamilyHandle*> create_column_family(const std::string& name);
  /// False if there is no such entry.
  [[nodiscard]] Result<bool> get(rocksdb::ColumnFamilyHandle* family, std::string_view key,
                                 std::string& value);
  [[nodiscard]] Status write(rocksdb::WriteBatch& batch);
  /// Makes sorted files part of `family`; they are moved, not copied.
  [[nodiscard]] Status ingest(rocksdb::ColumnFamilyHandle* family,
                              const std::vector<std::string>& files);
  /// Gives the directory up: whoever lets go of the database last removes it with all that is in it.
  void remove_when_closed() { remove_when_closed_ = true; }
  /// The options with which files to be ingested are written.
  [[nodiscard]] const rocksdb::Options& options() const { return options_; }
  [[nodiscard]] rocksdb::DB& db() { return *db_; }
  /// Of the database, for error sentences.
  [[nodiscard]] const std::string& path() const { return path_; }
  /// That the database lies in, for other files that go with it.
  [[nodiscard]] const std::string& directory() const { return directory_; }

 private:
  RocksDBDatabase(FileSystem& files, std::string directory, std::shared_ptr<rocksdb::Cache> cache,
                  std::shared_ptr<rocksdb::WriteBufferManager> write_buffer);

  FileSystem& files_;
  const std::string directory_;
  const std::string path_;
  const std::unique_ptr<rocksdb::Env> env_;
  const rocksdb::Options options_;
  bool remove_when_closed_ = false;
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<rocksdb::ColumnFamilyHandle*> families_;
};

}  // namespace weir
