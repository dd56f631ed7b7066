#pragma once

#include <memory>
#include <string>

#include <rocksdb/file_system.h>

namespace weir {

/// A file system of RocksDB's whose files and directories are never synced, and which takes no record of a
/// database's options; all else goes to the one below.
/// A working database is no recovery point: nobody opens it again after a crash, so waiting for the disk
/// would protect nothing, and making a database syncs some thirty times. What the disk loses all the
/// same shows up as a block whose checksum does not match. The options would be written, read back and compared
/// for all column families whenever one is made, which takes longer than all else that is done then.
/// Threads: any.
class UnsyncedFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  explicit UnsyncedFileSystem(const std::shared_ptr<rocksdb::FileSystem>& below)
      : FileSystemWrapper(below) {}
  [[nodiscard]] const char* Name() const override { return "UnsyncedFileSystem"; }

  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReopenWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                       std::unique_ptr<rocksdb::FSWritableFile>* result,
                                       rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path,
                                      const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSWritableFile>* result,
                                      rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewDirectory(const std::string& path, const rocksdb::IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* result,
                                 rocksdb::IODebugContext* debug) override;
};

}  // namespace weir
