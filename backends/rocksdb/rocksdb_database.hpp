#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>

#include "backends/rocksdb/database_seams.hpp"
#include "backends/rocksdb/table_files.hpp"
#include "state/file_system.hpp"
#include "state/result.hpp"
#include "state/table.hpp"

namespace weir {

class ExpiryFilterFactory;

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
/// writes no log and syncs nothing: what is not in a checkpoint is lost with the task anyway. Entries come
/// in as sorted files alone (`SortedFiles`), and values lie in their stored form (`StoredValue`).
/// Threads: any, but for what makes and drops column families and `remove_when_closed`, which the task calls
/// alone.
class RocksDBDatabase {
 public:
  /// Creates an empty database in `directory`, which is made; what a killed process has left of one
  /// there is removed. The cache belongs to the process.
  /// Errors: `io_error`, also if the database is in use.
  [[nodiscard]] static Result<std::shared_ptr<RocksDBDatabase>> create(
      const DatabaseSeams& seams, const std::string& directory,
      std::shared_ptr<rocksdb::Cache> cache);
  ~RocksDBDatabase();
  RocksDBDatabase(const RocksDBDatabase&) = delete;
  RocksDBDatabase& operator=(const RocksDBDatabase&) = delete;

  /// The handle belongs to the database. `expiry` is that of a state with a time to live: compaction drops
  /// what has expired. Errors: `io_error`.
  [[nodiscard]] Result<rocksdb::ColumnFamilyHandle*> create_column_family(
      const std::string& name, std::shared_ptr<ExpiryFilterFactory> expiry = nullptr);
  /// A column family that consists of `files`, which are taken away from where they are, as they are: at
  /// their levels and with their sequence numbers. They get ascending numbers in the order of the list.
  /// Nothing is compacted until `allow_compactions`. Requires that there are files. Errors: `io_error`,
  /// `corruption`.
  [[nodiscard]] Result<rocksdb::ColumnFamilyHandle*> import_column_family(
      const std::string& name, std::vector<rocksdb::LiveFileMetaData> files,
      std::shared_ptr<ExpiryFilterFactory> expiry = nullptr);
  /// Lets the database compact it, if it does so by itself. Errors: `io_error`.
  [[nodiscard]] Status allow_compactions(rocksdb::ColumnFamilyHandle* family);
  /// Removes a column family with all that is in it. Errors: `io_error`; it then goes with the database.
  [[nodiscard]] Status drop_column_family(rocksdb::ColumnFamilyHandle* family);
  /// The canonical value of an entry; false if there is no such one. Errors: `io_error`, `corruption`.
  [[nodiscard]] Result<bool> get(rocksdb::ColumnFamilyHandle* family, const LookUp& wanted,
                                 std::string& value);
  /// Calls `visit(index, value)` for each of `wanted`, whose keys ascend, that has an entry. Errors: those
  /// of `visit` too.
  [[nodiscard]] Status get_all(
      rocksdb::ColumnFamilyHandle* family, std::span<const LookUp> wanted,
      const std::function<Status(std::size_t index, std::string_view value)>& visit);
  /// What an iterator shows of an entry, as its canonical value. Errors: `corruption`.
  [[nodiscard]] Result<std::string_view> canonical(const rocksdb::Slice& stored) const;
  /// The highest number of a run in the files of `family`, 0 if there is none. Errors: `io_error`,
  /// `corruption`.
  [[nodiscard]] Result<std::uint32_t> newest_run(rocksdb::ColumnFamilyHandle* family);
  /// The path of a file beside the database that does not exist yet.
  [[nodiscard]] std::string new_file();
  /// Whether a file of this name lies beside a database, not in it.
  [[nodiscard]] static bool is_new_file(std::string_view name);
  /// Removes such a file if it is there and that is possible: it goes with the directory at the latest.
  void remove_file(const std::string& path);
  /// Gives the directory up: whoever lets go of the database last removes it with all that is in it.
  void remove_when_closed() { remove_when_closed_ = true; }
  /// The options with which files to be ingested are written.
  [[nodiscard]] const rocksdb::Options& options() const { return options_; }
  [[nodiscard]] rocksdb::DB& db() { return *db_; }
  [[nodiscard]] FileSystem& files() { return files_; }
  /// In the order in which they were made.
  [[nodiscard]] std::span<rocksdb::ColumnFamilyHandle* const> families() const { return families_; }
  /// What the database lies in, with its files beside it.
  [[nodiscard]] const std::string& directory() const { return directory_; }
  /// Of the database, for error sentences.
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  RocksDBDatabase(const DatabaseSeams& seams, std::string directory,
                  std::shared_ptr<rocksdb::Cache> cache);
  [[nodiscard]] rocksdb::ColumnFamilyOptions family_options(
      std::shared_ptr<ExpiryFilterFactory> expiry) const;
  [[nodiscard]] std::unexpected<Error> damaged() const;

  FileSystem& files_;
  const std::string directory_;
  const std::string path_;
  const std::unique_ptr<rocksdb::Env> env_;
  const TableFiles table_files_;
  const rocksdb::Options options_;
  bool remove_when_closed_ = false;
  std::atomic<std::uint64_t> new_files_ = 0;
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<rocksdb::ColumnFamilyHandle*> families_;
};

/// One of RocksDB's snapshots; released when destroyed.
class DatabaseSnapshot {
 public:
  explicit DatabaseSnapshot(std::shared_ptr<RocksDBDatabase> database)
      : database_(std::move(database)), snapshot_(database_->db().GetSnapshot()) {}
  ~DatabaseSnapshot() { database_->db().ReleaseSnapshot(snapshot_); }
  DatabaseSnapshot(const DatabaseSnapshot&) = delete;
  DatabaseSnapshot& operator=(const DatabaseSnapshot&) = delete;

  [[nodiscard]] const rocksdb::Snapshot* get() const { return snapshot_; }

 private:
  const std::shared_ptr<RocksDBDatabase> database_;
  const rocksdb::Snapshot* const snapshot_;
};

}  // namespace weir
