#include "storage/posix_file_system.hpp"

#include <csignal>
#include <memory>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "test/storage/temporary_directory.hpp"

namespace weir {
namespace {

using test::TemporaryDirectory;

void write(FileSystem& files, const std::string& path, std::string_view bytes) {
  auto file = files.create(path);
  REQUIRE(file);
  REQUIRE((*file)->append(bytes));
  REQUIRE((*file)->close());
}

std::vector<std::string> names(FileSystem& files, const std::string& directory) {
  const auto entries = files.list(directory);
  REQUIRE(entries);
  std::vector<std::string> result;
  for (const auto& entry : *entries) result.push_back(entry.name);
  return result;
}

TEST_CASE("a pipe is no file to read, and nobody waits for its writer", "[storage]") {
  TemporaryDirectory directory;
  PosixFileSystem files;
  const std::string path = directory.path() + "/pipe";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  CHECK(files.open(path).error() == Error{Errc::unsupported, path + ": is no regular file"});
  CHECK(files.open("/dev/zero").error() ==
        Error{Errc::unsupported, "/dev/zero: is no regular file"});
}

TEST_CASE("too many open files are told with the limit that is to be raised", "[storage]") {
  TemporaryDirectory directory;
  PosixFileSystem files;
  const std::string path = directory.path() + "/file";
  REQUIRE(files.create(path));
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit low{64, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
  std::vector<std::unique_ptr<InputFile>> open;
  std::string refusal;
  while (refusal.empty() && open.size() <= low.rlim_cur) {
    auto file = files.open(path);
    if (file)
      open.push_back(std::move(*file));
    else
      refusal = file.error().what;
  }
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(refusal ==
        path + ": cannot open: Too many open files; raise the limit of open files (ulimit -n)");
}

SCENARIO("what is written reads back, in pieces of any size", "[storage]") {
  TemporaryDirectory directory;
  PosixFileSystem files;
  const std::string path = directory.path() + "/file";
  std::string all;
  auto output = files.create(path);
  REQUIRE(output);
  for (const std::size_t size : {0U, 1U, 100U, 65'000U, 500U, 65'536U, 3U, 1'000'000U, 7U}) {
    const std::string piece(size, static_cast<char>('a' + size % 26));
    REQUIRE((*output)->append(piece));
    all += piece;
  }
  REQUIRE((*output)->sync());
  REQUIRE((*output)->append("tail"));
  all += "tail";
  REQUIRE((*output)->close());
  REQUIRE((*output)->close());

  CHECK(read_file(files, path, all.size()) == all);
  auto input = files.open(path);
  REQUIRE(input);
  CHECK((*input)->size() == all.size());
  char out[8];
  CHECK((*input)->read_at(all.size() - 3, out, sizeof(out)) == 3);
  CHECK(std::string(out, 3) == "ail");
  CHECK((*input)->read_at(all.size() + 10, out, sizeof(out)) == 0);

  const auto too_long = read_file(files, path, all.size() - 1);
  REQUIRE_FALSE(too_long);
  CHECK(too_long.error().code == Errc::limit_exceeded);
}

TEST_CASE("a large file has what was appended, wherever its blocks end", "[storage]") {
  constexpr std::size_t mebibyte = 1 << 20;
  const std::vector<std::vector<std::size_t>> cases{
      {4 * mebibyte, 1, mebibyte - 1, 5 * mebibyte, 17},
      {4 * mebibyte - 1, 2, 100'000, 3 * mebibyte, 4096},
      {9 * mebibyte, mebibyte},
      {1000, 4 * mebibyte, 2 * mebibyte, 2 * mebibyte - 1000}};
  for (const auto& sizes : cases)
    for (const bool syncs : {false, true}) {
      TemporaryDirectory directory;
      PosixFileSystem files;
      const std::string path = directory.path() + "/file";
      std::string all;
      auto output = files.create(path);
      REQUIRE(output);
      for (const std::size_t size : sizes) {
        std::string piece(size, '\0');
        for (std::size_t i = 0; i < size; ++i)
          piece[i] = static_cast<char>((all.size() + i) * 2654435761U >> 13);
        // In pieces as snapshots write them, and the rest as it is.
        for (std::size_t at = 0; at < size; at += 65'536)
          REQUIRE((*output)->append(std::string_view(piece).substr(at, 65'536)));
        all += piece;
        if (syncs) REQUIRE((*output)->sync());
      }
      REQUIRE((*output)->close());
      const auto read = read_file(files, path, all.size());
      REQUIRE(read);
      CHECK(read->size() == all.size());
      CHECK(*read == all);
    }
}

TEST_CASE("a file is never created over another", "[storage]") {
  TemporaryDirectory directory;
  PosixFileSystem files;
  const std::string path = directory.path() + "/file";
  write(files, path, "first");
  const auto second = files.create(path);
  REQUIRE_FALSE(second);
  CHECK(second.error().code == Errc::already_exists);
  CHECK(second.error().what == path + ": cannot create: File exists");
  CHECK(read_file(files, path, 100) == "first");
}

TEST_CASE("errors name what was tried, the path and the reason", "[storage]") {
  TemporaryDirectory directory;
  PosixFileSystem files;
  const std::string missing = directory.path() + "/missing";
  CHECK(files.open(missing).error() ==
        Error{Errc::not_found, missing + ": cannot open: No such file or directory"});
  CHECK(files.create(missing + "/file").error() ==
        Error{Errc::not_found, missing + "/file: cannot create: No such file or directory"});
  CHECK(files.list(missing).error() ==
        Error{Errc::not_found, missing + ": cannot list the directory: No such file or directory"});
  CHECK(files.stat(missing).error().code == Errc::not_found);
  CHECK(files.remove(missing).error() ==
        Error{Errc::not_found, missing + ": cannot remove: No such file or directory"});
  CHECK(files.sync_directory(missing).error().code == Errc::not_found);
  CHECK(files.open(directory.path()).error() ==
        Error{Errc::io_error, directory.path() + ": cannot open: Is a directory"});
  CHECK(files.lock_directory(missing).error().code == Errc::not_found);
  CHECK(files.link(missing, directory.path() + "/x").error().code == Errc::not_found);

  write(files, directory.path() + "/file", "");
  const std::string below = directory.path() + "/file/below";
  CHECK(files.create_directories(below).error() ==
        Error{Errc::io_error, below + ": cannot create the directory: a file is in the way"});
  CHECK(files.create_directories(directory.path() + "/file").error().code == Errc::io_error);
}

TEST_CASE("a file system that cannot sync directories is told from one that fails", "[storage]") {
  PosixFileSystem files;
  const Status synced = files.sync_directory("/proc");
  REQUIRE_FALSE(synced);
  CHECK(synced.error().code == Errc::unsupported);
  CHECK(synced.error().what == "/proc: cannot sync the directory: Invalid argument");
  CHECK(files.sync_directory("/proc/missing").error().code == Errc::not_found);
}

/// While it lives no file may grow beyond so many bytes, as if the disk were full.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
    rlimit small = before_;
    small.rlim_cur = bytes;
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit before_{};
  decltype(SIG_DFL) handler_;
};

TEST_CASE("a full disk is reported with path and offset", "[storage]") {
  TemporaryDirectory directory;
  PosixFileSystem files;
  const std::string path = directory.path() + "/file";
  auto output = files.create(path);
  REQUIRE(output);
  const Status failed = [&] {
    const FullDisk full(100'000);
    return (*output)->append(std::string(200'000, 'x'));
  }();
  REQUIRE_FALSE(failed);
  CHECK(failed.error() ==
        Error{Errc::io_error, path + ": cannot write at offset 100000: File too large"});
}

TEST_CASE("a disk that gets full under a large file is reported, at the latest when it is synced",
          "[storage]") {
  TemporaryDirectory directory;
  PosixFileSystem files;
  const std::string path = directory.path() + "/file";
  auto output = files.create(path);
  REQUIRE(output);
  const std::string piece(300'000, 'x');
  const auto pieces = GENERATE(20U, 100U);
  Status status;
  {
    const FullDisk full((std::uint64_t{4} << 20) +
                        1'500'000);  // behind where direct writing begins
    for (std::size_t i = 0; i < pieces && status; ++i) status = (*output)->append(piece);
    if (status) status = (*output)->sync();
  }
  REQUIRE_FALSE(status);
  CHECK(status.error().code == Errc::io_error);
  CHECK_THAT(status.error().what, Catch::StartsWith(path + ": cannot write at offset ") &&
                                      Catch::EndsWith("File too large"));
}

SCENARIO("renaming never replaces", "[storage]") {
  TemporaryDirectory directory;
  PosixFileSystem files;
  const std::string a = directory.path() + "/a";
  const std::string b = directory.path() + "/b";
  write(files, a, "from");
  WHEN("the name is free") {
    REQUIRE(files.rename_no_replace(a, b));
    THEN("the file has it") {
      CHECK(names(files, directory.path()) == std::vector<std::string>{"b"});
      CHECK(read_file(files, b, 10) == "from");
      CHECK(files.sync_directory(directory.path()));
    }
  }
  WHEN("the name is taken") {
    write(files, b, "to");
    const Status failed = files.rename_no_replace(a, b);
    THEN("both files stay") {
      REQUIRE_FALSE(failed);
      CHECK(failed.error().code == Errc::already_exists);
      CHECK(read_file(files, a, 10) == "from");
      CHECK(read_file(files, b, 10) == "to");
    }
  }
  WHEN("there is nothing to rename") {
    THEN("it says so") {
      CHECK(files.rename_no_replace(directory.path() + "/c", b).error().code == Errc::not_found);
    }
  }
}

SCENARIO("directories are made, listed and removed", "[storage]") {
  TemporaryDirectory directory;
  PosixFileSystem files;
  const std::string deep = directory.path() + "/a/b/c";
  REQUIRE(files.create_directories(deep));
  REQUIRE(files.create_directories(deep));
  REQUIRE(files.create_directories(deep + "/d/"));
  write(files, deep + "/z", "12345");
  write(files, deep + "/.hidden", "");
  REQUIRE(::symlink("z", (deep + "/to-file").c_str()) == 0);
  REQUIRE(::symlink("d", (deep + "/to-directory").c_str()) == 0);
  REQUIRE(::symlink("nowhere", (deep + "/to-nothing").c_str()) == 0);
  const std::vector<DirectoryEntry> expected = {
      {".hidden", false, 0, false}, {"d", true, 0, false},          {"to-directory", true, 0, true},
      {"to-file", false, 5, true},  {"to-nothing", false, 0, true}, {"z", false, 5, false},
  };
  CHECK(files.list(deep) == expected);
  CHECK(files.stat(deep + "/z") == DirectoryEntry{"z", false, 5, false});
  CHECK(files.stat(deep + "/to-directory") == DirectoryEntry{"to-directory", true, 0, true});
  CHECK(files.stat(deep + "/to-nothing").error().code == Errc::not_found);

  const Status not_empty = files.remove(deep);
  REQUIRE_FALSE(not_empty);
  CHECK(not_empty.error() == Error{Errc::io_error, deep + ": cannot remove: Directory not empty"});
  write(files, deep + "/d/inside", "");
  for (const std::string name : {"to-directory", "to-file", "to-nothing"})
    REQUIRE(files.remove(deep + "/" + name));
  CHECK(names(files, deep) == std::vector<std::string>{".hidden", "d", "z"});
  CHECK(names(files, deep + "/d") == std::vector<std::string>{"inside"});
  REQUIRE(files.remove(deep + "/d/inside"));
  REQUIRE(files.remove(deep + "/d"));
  CHECK(names(files, deep) == std::vector<std::string>{".hidden", "z"});
}

TEST_CASE("a hard link shares the file and replaces nothing", "[storage]") {
  TemporaryDirectory directory;
  PosixFileSystem files;
  const std::string a = directory.path() + "/a";
  const std::string b = directory.path() + "/b";
  write(files, a, "shared");
  REQUIRE(files.link(a, b));
  CHECK(files.link(a, b).error().code == Errc::already_exists);
  REQUIRE(files.remove(a));
  CHECK(read_file(files, b, 10) == "shared");
}

SCENARIO("a directory has one holder of its lock", "[storage]") {
  TemporaryDirectory directory;
  PosixFileSystem files;
  PosixFileSystem others;
  auto lock = files.lock_directory(directory.path());
  REQUIRE(lock);
  WHEN("another holder in this process wants it") {
    THEN("it is refused until the first lets go") {
      const auto refused = others.lock_directory(directory.path());
      REQUIRE_FALSE(refused);
      CHECK(refused.error().code == Errc::unavailable);
      CHECK_THAT(refused.error().what, Catch::StartsWith(directory.path() + ": is locked"));
      CHECK_FALSE(files.lock_directory(directory.path()));
      lock->reset();
      CHECK(others.lock_directory(directory.path()));
    }
  }
  WHEN("the lock file is removed by its holder") {
    REQUIRE(files.remove(directory.path() + "/.lock"));
    THEN("a new lock is one of the new file") {
      const auto next = others.lock_directory(directory.path());
      REQUIRE(next);
      CHECK_FALSE(files.lock_directory(directory.path()));
    }
  }
}

TEST_CASE("descriptors are not inherited and none is left open", "[storage]") {
  TemporaryDirectory directory;
  PosixFileSystem files;
  const auto count = [&] { return names(files, "/proc/self/fd").size(); };
  const std::size_t before = count();
  {
    write(files, directory.path() + "/a", "x");
    auto output = files.create(directory.path() + "/b");
    auto input = files.open(directory.path() + "/a");
    auto lock = files.lock_directory(directory.path());
    CHECK(count() == before + 3);
    (void)files.open(directory.path());
    (void)files.create(directory.path() + "/b");
    (void)files.lock_directory(directory.path());
    CHECK(count() == before + 3);
  }
  CHECK(count() == before);
}

}  // namespace
}  // namespace weir
