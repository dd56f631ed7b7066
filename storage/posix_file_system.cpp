#include "storage/posix_file_system.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <boost/filesystem.hpp>

#include "storage/direct_writer.hpp"

namespace weir {
namespace {

namespace fs = boost::filesystem;

constexpr mode_t file_mode = 0666;       // less the umask
constexpr mode_t directory_mode = 0777;  // less the umask
/// Smaller appends are gathered up to this size; one that is at least as large is written as it is.
constexpr std::size_t buffer_bytes = std::size_t{64} << 10;
/// What a file has beyond this goes past the page cache: the kernel would have to find fresh pages for it, which on a
/// virtual machine costs more than the disk does, and a sync would come to all of it at once.
constexpr std::uint64_t direct_from_bytes = std::uint64_t{4} << 20;
/// The kernel takes at most 2 GiB at once.
constexpr std::size_t transfer_bytes_max = std::size_t{1} << 30;
/// How often a lock file may be replaced under our hands before we give up.
constexpr int lock_attempts = 100;

Errc classify(int number) {
  switch (number) {
    case ENOENT:
    case ENOTDIR:
      return Errc::not_found;
    case EEXIST:
      return Errc::already_exists;
    default:
      return Errc::io_error;
  }
}

/// `path: cannot <action>: <the system's reason>`
std::unexpected<Error> failure(int number, const std::string& path, std::string_view action) {
  return error(classify(number),
               path + ": cannot " + std::string(action) + ": " +
                   std::generic_category().message(number) +
                   (number == EMFILE ? "; raise the limit of open files (ulimit -n)" : ""));
}

/// Calls `call` until no signal interrupts it.
template <class Call>
auto retry(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

/// A descriptor that is closed with its owner.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  [[nodiscard]] int number() const { return number_; }
  [[nodiscard]] bool is_open() const { return number_ >= 0; }
  /// False, with `errno`, if the system reports an error that it had kept back. Not to be repeated:
  /// the descriptor is gone either way.
  [[nodiscard]] bool close() { return ::close(std::exchange(number_, -1)) == 0 || errno == EINTR; }

 private:
  int number_;
};

Descriptor open_descriptor(const std::string& path, int flags, mode_t mode = 0) {
  return Descriptor(
      retry([&] { return ::openat(AT_FDCWD, path.c_str(), flags | O_CLOEXEC, mode); }));
}

Status sync_path(const std::string& directory) {
  const Descriptor descriptor = open_descriptor(directory, O_RDONLY | O_DIRECTORY);
  if (!descriptor.is_open()) return failure(errno, directory, "open the directory");
  if (retry([&] { return ::fsync(descriptor.number()); }) == 0) return {};
  const int number = errno;
  auto failed = failure(number, directory, "sync the directory");
  // So say file systems that have no such operation.
  if (number == EINVAL) failed.error().code = Errc::unsupported;
  return failed;
}

class PosixOutputFile final : public OutputFile {
 public:
  PosixOutputFile(Descriptor descriptor, std::string path)
      : descriptor_(std::move(descriptor)), path_(std::move(path)) {}

  Status append(std::string_view bytes) override {
    if (may_be_direct_ && offset_ + buffer_.size() + bytes.size() > direct_from_bytes)
      WEIR_TRY(begin_direct(bytes));
    if (direct_) return written(direct_->append(bytes));
    if (buffer_.size() + bytes.size() < buffer_bytes) {
      buffer_ += bytes;
      return {};
    }
    WEIR_TRY(flush());
    return write(bytes);
  }

  Status sync() override {
    WEIR_TRY(flush());
    if (retry([&] { return ::fsync(descriptor_.number()); }) != 0)
      return failure(errno, path_, "sync");
    return {};
  }

  Status close() override {
    if (!descriptor_.is_open()) return {};
    WEIR_TRY(flush());
    if (!descriptor_.close()) return failure(errno, path_, "close");
    return {};
  }

 private:
  /// Writes up to a place where direct writing can begin, and removes that from `bytes`. It begins once.
  Status begin_direct(std::string_view& bytes) {
    WEIR_TRY(flush());
    constexpr std::size_t alignment = DirectWriter::alignment;
    const std::string_view head = bytes.substr(0, (alignment - offset_ % alignment) % alignment);
    WEIR_TRY(write(head));
    bytes.remove_prefix(head.size());
    if (offset_ % alignment != 0) return {};
    may_be_direct_ = false;
    direct_ = DirectWriter::begin(descriptor_.number(), offset_);
    return {};
  }
  /// What a direct write came to.
  Status written(int number) {
    if (number == 0) return {};
    return failure(number, path_, "write at offset " + std::to_string(direct_->offset()));
  }

  /// Gives all that was appended to the system. What comes then is not written directly.
  Status flush() {
    if (const auto direct = std::move(direct_)) {
      const int number = direct->finish();
      offset_ = direct->offset();
      if (number != 0) return failure(number, path_, "write at offset " + std::to_string(offset_));
      WEIR_TRY(write(direct->rest()));
    }
    WEIR_TRY(write(buffer_));
    buffer_.clear();
    return {};
  }

  Status write(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::size_t part = std::min(bytes.size(), transfer_bytes_max);
      const auto written = retry([&] {
        return ::pwrite(descriptor_.number(), bytes.data(), part, static_cast<off_t>(offset_));
      });
      if (written < 0) return failure(errno, path_, "write at offset " + std::to_string(offset_));
      if (written == 0) return failure(EIO, path_, "write at offset " + std::to_string(offset_));
      offset_ += static_cast<std::uint64_t>(written);
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
  }

  Descriptor descriptor_;
  const std::string path_;
  std::string buffer_;        ///< appended, not yet given to the system
  std::uint64_t offset_ = 0;  ///< bytes given to the system, but for those of `direct_`
  bool may_be_direct_ = true;
  std::unique_ptr<DirectWriter> direct_;  ///< writes behind `offset_`; set once the file is large
};

class PosixInputFile final : public InputFile {
 public:
  PosixInputFile(Descriptor descriptor, std::string path)
      : descriptor_(std::move(descriptor)), path_(std::move(path)) {}

  Result<std::size_t> read_at(std::uint64_t offset, char* out, std::size_t size) override {
    std::size_t done = 0;
    while (done < size) {
      const std::size_t part = std::min(size - done, transfer_bytes_max);
      const auto got = retry([&] {
        return ::pread(descriptor_.number(), out + done, part, static_cast<off_t>(offset + done));
      });
      if (got < 0) return failure(errno, path_, "read at offset " + std::to_string(offset + done));
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  Result<std::uint64_t> size() override {
    struct ::stat about{};
    if (::fstat(descriptor_.number(), &about) != 0) return failure(errno, path_, "examine");
    return static_cast<std::uint64_t>(about.st_size);
  }

 private:
  const Descriptor descriptor_;
  const std::string path_;
};

class PosixDirectoryLock final : public DirectoryLock {
 public:
  explicit PosixDirectoryLock(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}

 private:
  const Descriptor descriptor_;  ///< closing it releases the lock
};

/// What `path` is, with its target in place of a symbolic link. An error number, 0 if none.
int examine(const std::string& path, DirectoryEntry& entry) {
  struct ::stat about{};
  if (::lstat(path.c_str(), &about) != 0) return errno;
  entry.name = fs::path(path).filename().string();
  entry.is_symlink = S_ISLNK(about.st_mode);
  if (entry.is_symlink && ::stat(path.c_str(), &about) != 0) return errno;
  entry.is_directory = S_ISDIR(about.st_mode);
  entry.size_bytes = entry.is_directory ? 0 : static_cast<std::uint64_t>(about.st_size);
  return 0;
}

bool same_file(const struct ::stat& a, const struct ::stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

}  // namespace

Result<std::unique_ptr<OutputFile>> PosixFileSystem::create(const std::string& path) {
  Descriptor descriptor =
      open_descriptor(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, file_mode);
  if (!descriptor.is_open()) return failure(errno, path, "create");
  return std::make_unique<PosixOutputFile>(std::move(descriptor), path);
}

Result<std::unique_ptr<InputFile>> PosixFileSystem::open(const std::string& path) {
  // Opening a pipe would wait for its writer.
  Descriptor descriptor = open_descriptor(path, O_RDONLY | O_NONBLOCK);
  if (!descriptor.is_open()) return failure(errno, path, "open");
  struct ::stat about{};
  if (::fstat(descriptor.number(), &about) != 0) return failure(errno, path, "examine");
  // Of a pipe or a device nobody knows how long it is, nor can it be read again.
  if (!S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode))
    return error(Errc::unsupported, path + ": is no regular file");
  if (S_ISDIR(about.st_mode)) return failure(EISDIR, path, "open");
  return std::make_unique<PosixInputFile>(std::move(descriptor), path);
}

Status PosixFileSystem::rename_no_replace(const std::string& from, const std::string& to) {
  const auto failed = [&](int number) {
    return failure(number, to, "rename " + from + " to this");
  };
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return {};
  if (errno != EINVAL && errno != ENOSYS) return failed(errno);
  // A file system without that flag: a hard link does not replace either.
  if (::linkat(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), 0) != 0) return failed(errno);
  if (::unlinkat(AT_FDCWD, from.c_str(), 0) != 0) return failure(errno, from, "remove");
  return {};
}

Status PosixFileSystem::sync_directory(const std::string& directory) {
  return sync_path(directory);
}

Status PosixFileSystem::make_directory(const std::string& path) {
  if (::mkdirat(AT_FDCWD, path.c_str(), directory_mode) != 0)
    return failure(errno, path, "create the directory");
  return {};
}

Result<std::vector<DirectoryEntry>> PosixFileSystem::list(const std::string& directory) {
  boost::system::error_code code;
  fs::directory_iterator iterator(directory, code);
  std::vector<DirectoryEntry> entries;
  for (; !code && iterator != fs::directory_iterator(); iterator.increment(code)) {
    const std::string path = iterator->path().string();
    DirectoryEntry entry;
    const int number = examine(path, entry);
    const bool dangling = number == ENOENT && entry.is_symlink;
    if (number == ENOENT && !dangling) continue;  // removed meanwhile
    if (number != 0 && !entry.is_symlink) return failure(number, path, "examine");
    entries.push_back(std::move(entry));
  }
  if (code) return failure(code.value(), directory, "list the directory");
  std::ranges::sort(entries, {}, &DirectoryEntry::name);
  return entries;
}

Result<DirectoryEntry> PosixFileSystem::stat(const std::string& path) {
  DirectoryEntry entry;
  if (const int number = examine(path, entry); number != 0) return failure(number, path, "examine");
  return entry;
}

Status PosixFileSystem::remove(const std::string& path) {
  // Neither call follows a symbolic link in the last place.
  if (::unlinkat(AT_FDCWD, path.c_str(), 0) == 0) return {};
  const int number = errno;
  if (number != EISDIR && number != EPERM) return failure(number, path, "remove");
  if (::unlinkat(AT_FDCWD, path.c_str(), AT_REMOVEDIR) == 0) return {};
  // EPERM of the first call was about a file after all if this one finds no directory.
  const int reason = errno == ENOTDIR ? number : errno;
  if (reason == EEXIST) return failure(ENOTEMPTY, path, "remove");
  return failure(reason, path, "remove");
}

Status PosixFileSystem::link(const std::string& from, const std::string& to) {
  if (::linkat(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), 0) != 0)
    return failure(errno, to, "link " + from + " to this");
  return {};
}

Result<std::unique_ptr<DirectoryLock>> PosixFileSystem::lock_directory(
    const std::string& directory) {
  const std::string path = directory + "/.lock";
  for (int attempt = 0; attempt < lock_attempts; ++attempt) {
    Descriptor descriptor = open_descriptor(path, O_RDWR | O_CREAT | O_NOFOLLOW, file_mode);
    if (!descriptor.is_open()) return failure(errno, path, "open the lock");
    struct ::flock wanted{};
    wanted.l_type = F_WRLCK;
    wanted.l_whence = SEEK_SET;
    if (::fcntl(descriptor.number(), F_OFD_SETLK, &wanted) != 0) {
      const int number = errno;
      if (number == EAGAIN || number == EACCES)
        return error(Errc::unavailable, directory + ": is locked: another process uses it");
      auto failed = failure(number, path, "lock");
      // So say file systems that have no locks, or those whose server gives none.
      if (number == ENOLCK || number == ENOSYS || number == EOPNOTSUPP)
        failed.error().code = Errc::unsupported;
      return failed;
    }
    // Its holder may have removed the file between our open and our lock; then this is the lock of
    // nothing, and a third process could hold the new file.
    struct ::stat ours{};
    struct ::stat present{};
    if (::fstat(descriptor.number(), &ours) != 0) return failure(errno, path, "examine");
    if (::stat(path.c_str(), &present) == 0 && same_file(ours, present))
      return std::make_unique<PosixDirectoryLock>(std::move(descriptor));
  }
  return error(Errc::unavailable, directory + ": is locked: its lock changes all the time");
}

Result<std::string> PosixFileSystem::identify_directory(const std::string& path) {
  struct ::stat about{};
  if (::stat(path.c_str(), &about) != 0) return failure(errno, path, "examine");
  return std::to_string(about.st_dev) + ":" + std::to_string(about.st_ino);
}

}  // namespace weir
