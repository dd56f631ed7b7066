#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <rocksdb/sst_file_writer.h>

#include "backends/rocksdb/rocksdb_database.hpp"

namespace weir {

/// Entries on their way into a database as sorted files, past its memtable. Within a column family keys
/// ascend, and one family comes after the other. Values are canonical, and get their stored form here.
///
///   SortedFiles files(database);
///   WEIR_TRY(files.put(family, key, value));
///   WEIR_TRY(files.ingest());
///
/// Threads: one.
class SortedFiles {
 public:
  /// `database` outlives the files.
  explicit SortedFiles(RocksDBDatabase& database) : database_(database) {}
  SortedFiles(const SortedFiles&) = delete;
  SortedFiles& operator=(const SortedFiles&) = delete;

  /// Errors of these: `io_error`.
  [[nodiscard]] Status put(rocksdb::ColumnFamilyHandle* family, std::string_view key,
                           std::string_view value);
  [[nodiscard]] Status remove(rocksdb::ColumnFamilyHandle* family, std::string_view key);
  /// A change as a `ChangeVisitor` receives it.
  [[nodiscard]] Status change(rocksdb::ColumnFamilyHandle* family, std::string_view key,
                              std::optional<std::string_view> value, std::uint32_t run);
  /// Bytes of keys and values so far.
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  /// Makes all that was added part of the database at once, newer than what is there; nothing else is
  /// added then. Errors: `io_error`.
  [[nodiscard]] Status ingest();
  /// Removes the files after a failure, as far as that is possible.
  void abandon();

 private:
  [[nodiscard]] Status open_for(rocksdb::ColumnFamilyHandle* family);
  void count(std::size_t bytes) {
    bytes_ += bytes;
    file_bytes_ += bytes;
  }
  [[nodiscard]] Status finish_file();

  RocksDBDatabase& database_;
  std::unique_ptr<rocksdb::SstFileWriter> writer_;  // of the last file
  std::vector<rocksdb::IngestExternalFileArg> families_;
  std::uint64_t bytes_ = 0;
  std::uint64_t file_bytes_ = 0;
  std::string stored_;  // the value that is being added
};

}  // namespace weir
