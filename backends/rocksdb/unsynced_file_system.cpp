#include "backends/rocksdb/unsynced_file_system.hpp"

#include <string_view>
#include <utility>

namespace weir {

namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

class UnsyncedFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  using FSWritableFileOwnerWrapper::FSWritableFileOwnerWrapper;
  IOStatus Sync(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Fsync(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  [[nodiscard]] bool IsSyncThreadSafe() const override { return true; }
};

class UnsyncedDirectory final : public rocksdb::FSDirectoryWrapper {
 public:
  using FSDirectoryWrapper::FSDirectoryWrapper;
  IOStatus Fsync(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus FsyncWithDirOptions(const IOOptions&, IODebugContext*,
                               const rocksdb::DirFsyncOptions&) override {
    return IOStatus::OK();
  }
};

/// RocksDB begins with this the name of a file that records the options of all column families.
constexpr std::string_view options_prefix = "OPTIONS-";

bool records_options(std::string_view path) {
  return path.substr(path.rfind('/') + 1).starts_with(options_prefix);
}

/// Puts `Unsynced` around what was opened.
template <class Unsynced, class Opened>
IOStatus wrap(IOStatus opened, std::unique_ptr<Opened>* result) {
  if (opened.ok()) *result = std::make_unique<Unsynced>(std::move(*result));
  return opened;
}

}  // namespace

IOStatus UnsyncedFileSystem::NewWritableFile(const std::string& path,
                                             const rocksdb::FileOptions& options,
                                             std::unique_ptr<rocksdb::FSWritableFile>* result,
                                             IODebugContext* debug) {
  // RocksDB goes on without: `fail_if_options_file_error` is not set.
  if (records_options(path))
    return IOStatus::NotSupported(path, "the options of a working database are not recorded");
  return wrap<UnsyncedFile>(target()->NewWritableFile(path, options, result, debug), result);
}

IOStatus UnsyncedFileSystem::ReopenWritableFile(const std::string& path,
                                                const rocksdb::FileOptions& options,
                                                std::unique_ptr<rocksdb::FSWritableFile>* result,
                                                IODebugContext* debug) {
  return wrap<UnsyncedFile>(target()->ReopenWritableFile(path, options, result, debug), result);
}

IOStatus UnsyncedFileSystem::ReuseWritableFile(const std::string& path, const std::string& old_path,
                                               const rocksdb::FileOptions& options,
                                               std::unique_ptr<rocksdb::FSWritableFile>* result,
                                               IODebugContext* debug) {
  return wrap<UnsyncedFile>(target()->ReuseWritableFile(path, old_path, options, result, debug),
                            result);
}

IOStatus UnsyncedFileSystem::NewDirectory(const std::string& path, const IOOptions& options,
                                          std::unique_ptr<rocksdb::FSDirectory>* result,
                                          IODebugContext* debug) {
  return wrap<UnsyncedDirectory>(target()->NewDirectory(path, options, result, debug), result);
}

}  // namespace weir
