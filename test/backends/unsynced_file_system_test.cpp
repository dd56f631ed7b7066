#include "backends/rocksdb/unsynced_file_system.hpp"

#include <memory>
#include <string>

#include <catch2/catch.hpp>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/sst_file_writer.h>

#include "test/storage/temporary_directory.hpp"

namespace weir::test {
namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

struct Counts {
  int files = 0;
  int syncs = 0;
  int records_of_options = 0;
};

class CountingFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  CountingFile(std::unique_ptr<rocksdb::FSWritableFile> file, Counts& counts)
      : FSWritableFileOwnerWrapper(std::move(file)), counts_(counts) {}
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    ++counts_.syncs;
    return FSWritableFileOwnerWrapper::Sync(options, debug);
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    ++counts_.syncs;
    return FSWritableFileOwnerWrapper::Fsync(options, debug);
  }

 private:
  Counts& counts_;
};

class CountingDirectory final : public rocksdb::FSDirectoryWrapper {
 public:
  CountingDirectory(std::unique_ptr<rocksdb::FSDirectory> directory, Counts& counts)
      : FSDirectoryWrapper(std::move(directory)), counts_(counts) {}
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    ++counts_.syncs;
    return FSDirectoryWrapper::Fsync(options, debug);
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* debug,
                               const rocksdb::DirFsyncOptions& how) override {
    ++counts_.syncs;
    return FSDirectoryWrapper::FsyncWithDirOptions(options, debug, how);
  }

 private:
  Counts& counts_;
};

/// Counts what is opened for writing, and synced.
class CountingFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  CountingFileSystem() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "CountingFileSystem"; }
  IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* result,
                           IODebugContext* debug) override {
    if (path.contains("OPTIONS-")) ++counts.records_of_options;
    return counted(target()->NewWritableFile(path, options, result, debug), result);
  }
  IOStatus ReopenWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* result,
                              IODebugContext* debug) override {
    return counted(target()->ReopenWritableFile(path, options, result, debug), result);
  }
  IOStatus NewDirectory(const std::string& path, const IOOptions& options,
                        std::unique_ptr<rocksdb::FSDirectory>* result,
                        IODebugContext* debug) override {
    const IOStatus opened = target()->NewDirectory(path, options, result, debug);
    if (opened.ok()) *result = std::make_unique<CountingDirectory>(std::move(*result), counts);
    return opened;
  }

  Counts counts;

 private:
  IOStatus counted(IOStatus opened, std::unique_ptr<rocksdb::FSWritableFile>* result) {
    ++counts.files;
    if (opened.ok()) *result = std::make_unique<CountingFile>(std::move(*result), counts);
    return opened;
  }
};

/// Makes a database that writes, flushes and ingests, and reads it all back.
void use_database(const std::shared_ptr<rocksdb::FileSystem>& files, const std::string& directory) {
  const std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(files);
  rocksdb::Options options;
  options.env = env.get();
  options.create_if_missing = true;
  rocksdb::DB* opened = nullptr;
  REQUIRE(rocksdb::DB::Open(options, directory + "/db", &opened).ok());
  const std::unique_ptr<rocksdb::DB> db(opened);
  REQUIRE(db->Put({}, "a", "flushed").ok());
  REQUIRE(db->Flush({}).ok());
  {
    rocksdb::SstFileWriter writer({}, options);
    REQUIRE(writer.Open(directory + "/b.sst").ok());
    REQUIRE(writer.Put("b", "ingested").ok());
    REQUIRE(writer.Finish().ok());
  }
  rocksdb::IngestExternalFileOptions moved;
  moved.move_files = true;
  REQUIRE(db->IngestExternalFile({directory + "/b.sst"}, moved).ok());
  std::string value;
  REQUIRE(db->Get({}, "a", &value).ok());
  CHECK(value == "flushed");
  REQUIRE(db->Get({}, "b", &value).ok());
  CHECK(value == "ingested");
  REQUIRE(db->Close().ok());
}

TEST_CASE("a database on an unsynced file system writes all its files and syncs none",
          "[backends]") {
  TemporaryDirectory directory;
  const auto counting = std::make_shared<CountingFileSystem>();
  use_database(std::make_shared<UnsyncedFileSystem>(counting), directory.path());
  CHECK(counting->counts.files > 5);
  CHECK(counting->counts.syncs == 0);
  CHECK(counting->counts.records_of_options == 0);
}

TEST_CASE("the same database on a file system that syncs waits for the disk many times",
          "[backends]") {
  TemporaryDirectory directory;
  const auto counting = std::make_shared<CountingFileSystem>();
  use_database(counting, directory.path());
  CHECK(counting->counts.syncs > 10);
  CHECK(counting->counts.records_of_options > 0);
}

TEST_CASE("what cannot be opened is an error, not a file", "[backends]") {
  TemporaryDirectory directory;
  UnsyncedFileSystem files(rocksdb::FileSystem::Default());
  const std::string missing = directory.path() + "/missing/file";
  std::unique_ptr<rocksdb::FSWritableFile> file;
  CHECK_FALSE(files.NewWritableFile(missing, {}, &file, nullptr).ok());
  CHECK_FALSE(files.ReopenWritableFile(missing, {}, &file, nullptr).ok());
  CHECK_FALSE(files.ReuseWritableFile(missing, missing + "-old", {}, &file, nullptr).ok());
  CHECK(file == nullptr);
  std::unique_ptr<rocksdb::FSDirectory> opened;
  CHECK_FALSE(files.NewDirectory(directory.path() + "/missing", {}, &opened, nullptr).ok());
  CHECK(opened == nullptr);
}

}  // namespace
}  // namespace weir::test
