#include "storage/file_checkpoint_storage.hpp"

#include <catch2/catch.hpp>

#include "state/checkpoint_directory.hpp"
#include "state/snapshot_io.hpp"
#include "storage/posix_file_system.hpp"
#include "test/state/snapshot_samples.hpp"
#include "test/storage/temporary_directory.hpp"

namespace weir {
namespace {

using test::CountedRandom;
using test::TemporaryDirectory;

/// The files of this machine, but the n-th operation fails, and all are written down.
class FaultyFileSystem final : public FileSystem {
 public:
  std::vector<std::string> operations;    ///< such as "sync .a.1f", with the last part of the path
  std::size_t failing = ~std::size_t{0};  ///< index of the operation that fails
  bool fails_on = false;                  ///< and all after it

  Result<std::unique_ptr<OutputFile>> create(const std::string& path) override {
    WEIR_TRY(note("create", path));
    WEIR_TRY_ASSIGN(file, files_.create(path));
    return std::make_unique<Output>(*this, std::move(file), path);
  }
  Result<std::unique_ptr<InputFile>> open(const std::string& path) override {
    return files_.open(path);
  }
  Status rename_no_replace(const std::string& from, const std::string& to) override {
    WEIR_TRY(note("rename", to));
    return files_.rename_no_replace(from, to);
  }
  Status sync_directory(const std::string& directory) override {
    WEIR_TRY(note("sync_directory", directory));
    return files_.sync_directory(directory);
  }
  Status create_directories(const std::string& path) override {
    WEIR_TRY(note("create_directories", path));
    return files_.create_directories(path);
  }
  Result<std::vector<DirectoryEntry>> list(const std::string& directory) override {
    return files_.list(directory);
  }
  Result<DirectoryEntry> stat(const std::string& path) override { return files_.stat(path); }
  Status remove(const std::string& path) override {
    WEIR_TRY(note("remove", path));
    return files_.remove(path);
  }
  Status link(const std::string& from, const std::string& to) override {
    return files_.link(from, to);
  }
  Result<std::unique_ptr<DirectoryLock>> lock_directory(const std::string& directory) override {
    return files_.lock_directory(directory);
  }

 private:
  Status note(const std::string& operation, const std::string& path) {
    const std::size_t index = operations.size();
    const std::string name = path.substr(path.rfind('/') + 1);
    operations.push_back(operation + " " +
                         (name.starts_with(".") ? name.substr(0, name.rfind('.')) : name));
    if (index == failing || (fails_on && index > failing))
      return error(Errc::io_error, path + ": cannot " + operation + ": injected");
    return {};
  }

  class Output final : public OutputFile {
   public:
    Output(FaultyFileSystem& owner, std::unique_ptr<OutputFile> file, std::string path)
        : owner_(owner), file_(std::move(file)), path_(std::move(path)) {}
    Status append(std::string_view bytes) override {
      WEIR_TRY(owner_.note("append", path_));
      return file_->append(bytes);
    }
    Status sync() override {
      WEIR_TRY(owner_.note("sync", path_));
      return file_->sync();
    }
    Status close() override {
      WEIR_TRY(owner_.note("close", path_));
      return file_->close();
    }

   private:
    FaultyFileSystem& owner_;
    const std::unique_ptr<OutputFile> file_;
    const std::string path_;
  };

  PosixFileSystem files_;
};

std::size_t entry_count(CheckpointStorage& storage, const std::string& directory) {
  const auto entries = storage.list(directory);
  REQUIRE(entries);
  return entries->size();
}

SCENARIO("a file appears whole or not at all", "[storage]") {
  TemporaryDirectory directory;
  FaultyFileSystem files;
  CountedRandom random;
  FileCheckpointStorage storage(files, random);
  const std::string path = directory.path() + "/a";
  auto output = storage.create(path);
  REQUIRE(output);
  REQUIRE((*output)->append("whole"));

  WHEN("it is being written") {
    THEN("only a temporary name, which begins with a dot, is there") {
      CHECK(storage.open(path).error().code == Errc::not_found);
      const auto entries = storage.list(directory.path());
      REQUIRE(entries);
      REQUIRE(entries->size() == 1);
      CHECK_THAT(entries->front().name, Catch::StartsWith(".a."));
    }
  }
  WHEN("it is published") {
    REQUIRE((*output)->publish());
    THEN("it is there alone, synced before its name and its name after that") {
      CHECK(read_stored_file(storage, path, 100) == "whole");
      CHECK(entry_count(storage, directory.path()) == 1);
      const std::string name = directory.path().substr(directory.path().rfind('/') + 1);
      CHECK(files.operations == std::vector<std::string>{"create .a", "append .a", "sync .a",
                                                         "close .a", "rename a",
                                                         "sync_directory " + name});
    }
    THEN("neither append nor publish works again") {
      CHECK_FALSE((*output)->append("more"));
      CHECK_FALSE((*output)->publish());
      CHECK(read_stored_file(storage, path, 100) == "whole");
    }
    THEN("discard removes it") {
      (*output)->discard();
      (*output)->discard();
      CHECK(entry_count(storage, directory.path()) == 0);
    }
    THEN("another file of that name is refused, and discarding that one does not touch the first") {
      auto second = storage.create(path);
      REQUIRE(second);
      REQUIRE((*second)->append("other"));
      CHECK((*second)->publish().error().code == Errc::already_exists);
      (*second)->discard();
      CHECK(read_stored_file(storage, path, 100) == "whole");
      CHECK(entry_count(storage, directory.path()) == 1);
    }
  }
  WHEN("it is discarded") {
    (*output)->discard();
    THEN("nothing is left") { CHECK(entry_count(storage, directory.path()) == 0); }
  }
  WHEN("its owner goes away") {
    output->reset();
    THEN("nothing is deleted and nothing has appeared") {
      CHECK(entry_count(storage, directory.path()) == 1);
      CHECK_FALSE(storage.open(path));
    }
  }
}

SCENARIO("whichever operation fails, a failed file is not there", "[storage]") {
  for (std::size_t failing = 0; failing < 6; ++failing) {
    for (const bool fails_on : {false, true}) {
      TemporaryDirectory directory;
      FaultyFileSystem files;
      files.failing = failing;
      files.fails_on = fails_on;
      CountedRandom random;
      FileCheckpointStorage storage(files, random);
      const std::string path = directory.path() + "/a";
      const Status status = publish_file(storage, path, "whole");
      INFO("operation " << failing << (fails_on ? " and all after it" : ""));
      REQUIRE_FALSE(status);
      CHECK_THAT(status.error().what, Catch::Contains("injected"));
      // A sync is tried once: the system may have forgotten by then what it could not write.
      CHECK(std::ranges::count(files.operations, "sync .a") <= 1);
      if (failing == 5 && fails_on) {
        CHECK(status.error().code == Errc::unavailable);  // neither durable nor removed
      } else {
        CHECK(status.error().code == Errc::io_error);
        CHECK(storage.open(path).error().code == Errc::not_found);
        if (!fails_on) CHECK(entry_count(storage, directory.path()) == 0);
      }
    }
  }
}

TEST_CASE("a file that failed once cannot be published", "[storage]") {
  TemporaryDirectory directory;
  FaultyFileSystem files;
  CountedRandom random;
  FileCheckpointStorage storage(files, random);
  auto output = storage.create(directory.path() + "/a");
  REQUIRE(output);
  files.failing = files.operations.size();
  CHECK_FALSE((*output)->append("lost"));
  CHECK_FALSE((*output)->append("more"));
  CHECK_FALSE((*output)->publish());
  CHECK_FALSE(storage.open(directory.path() + "/a"));
}

TEST_CASE("removing is durable, and success when there is nothing", "[storage]") {
  TemporaryDirectory directory;
  FaultyFileSystem files;
  CountedRandom random;
  FileCheckpointStorage storage(files, random);
  REQUIRE(publish_file(storage, directory.path() + "/a", "x"));
  files.operations.clear();
  REQUIRE(storage.remove(directory.path() + "/a"));
  CHECK(files.operations.size() == 2);
  CHECK_THAT(files.operations.back(), Catch::StartsWith("sync_directory "));
  CHECK(storage.remove(directory.path() + "/a"));
  CHECK(storage.remove(directory.path() + "/b/c"));
}

SCENARIO("a checkpoint lives in real directories", "[storage]") {
  TemporaryDirectory directory;
  PosixFileSystem files;
  CountedRandom random;
  FileCheckpointStorage storage(files, random);
  const std::string root = directory.path() + "/ckpt";
  const std::string chk = checkpoint_directory(root, test::sample_job, {7});
  const auto metadata = test::write_sample(storage, chk, random);
  const auto lock = storage.lock(job_directory(root, test::sample_job));
  REQUIRE(lock);
  CHECK(verify_snapshot(storage, chk) == metadata);

  WHEN("it is moved as a directory") {
    boost::filesystem::rename(chk, directory.path() + "/moved");
    THEN("it verifies there") {
      CHECK(verify_snapshot(storage, directory.path() + "/moved") == metadata);
    }
  }
  WHEN("a symbolic link to a directory of somebody else looks like a checkpoint") {
    const std::string precious = directory.path() + "/precious";
    REQUIRE(storage.create_directories(precious));
    REQUIRE(publish_file(storage, precious + "/data", "x"));
    boost::filesystem::create_directory_symlink(precious,
                                                checkpoint_directory(root, test::sample_job, {8}));
    THEN("the orphan scan does not follow it") {
      const auto removed = delete_orphans(storage, root, test::sample_job);
      REQUIRE(removed);
      CHECK(removed->empty());
      CHECK(read_stored_file(storage, precious + "/data", 10) == "x");
      CHECK(scan_checkpoints(storage, root)->size() == 1);
    }
  }
  WHEN("it is deleted and the job is done") {
    REQUIRE(delete_snapshot(storage, chk));
    REQUIRE(remove_job_directory_if_empty(storage, root, test::sample_job));
    THEN("nothing is left") { CHECK(entry_count(storage, root) == 0); }
  }
  WHEN("two processes complete the same checkpoint") {
    THEN("the second is refused and the first stays") {
      auto other = metadata;
      other.attempt = 1;
      const Status refused = write_metadata(storage, chk, other, random);
      REQUIRE_FALSE(refused);
      CHECK(refused.error().code == Errc::already_exists);
      CHECK(read_metadata(storage, chk) == metadata);
    }
  }
}

}  // namespace
}  // namespace weir
