#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "simulation/disk_image.hpp"
#include "state/file_system.hpp"

namespace weir {

/// What a process can ask of a file system.
enum class FileOperation : std::uint8_t {
  create,
  append,
  sync,
  close,
  open,
  read,
  size,
  rename,
  sync_directory,
  make_directory,
  list,
  stat,
  remove,
  link,
  lock,
};
[[nodiscard]] std::string_view to_string(FileOperation operation);

/// One operation that has happened, or was refused.
struct FileEvent {
  FileOperation operation = FileOperation::stat;
  std::string process;          ///< who asked
  std::string path;             ///< of a rename or link: the old name
  std::string to;               ///< the new name, else empty
  std::uint64_t bytes = 0;      ///< appended or read
  std::optional<Errc> failure;  ///< what it answered, if not success
  bool injected = false;        ///< `failure` comes from an `InjectedFault`
  bool distrusted = false;  ///< a sync of a file whose sync had failed before: its success is a lie
};
/// Such as `rename /d/.a.1 to /d/a`, and whether it failed.
[[nodiscard]] std::string to_string(const FileEvent& event);

/// How an operation fails. Unless said otherwise it has no effect.
enum class Fault : std::uint8_t {
  no_space,         ///< ENOSPC
  io_error,         ///< EIO
  interrupted,      ///< EINTR
  short_write,      ///< ENOSPC after half of the bytes; meets appends alone
  reported_failed,  ///< EIO, but all of it has happened
  half_renamed,     ///< EIO, and both names are there; meets renames alone
};
[[nodiscard]] std::string_view to_string(Fault fault);

/// Lets the `at`-th operation from now fail, counted from 1, and those behind it up to `times` in all.
struct InjectedFault {
  static constexpr std::size_t always = ~std::size_t{0};
  Fault fault = Fault::io_error;
  std::size_t at = 1;
  std::size_t times = 1;
  /// Counts and meets only this operation; none: any that the fault can meet.
  std::optional<FileOperation> only = std::nullopt;
};

/// The disk of one simulated host, with everything that can go wrong with it. Processes see it through
/// a `SimulatedFileSystem` each. What a crash may do to it is said at `DiskImage`; in addition:
///
/// - A sync that fails leaves the file's unsynced bytes uncertain for good: a later sync of the same
///   file succeeds and means nothing. (A directory is different: what is pending stays so, and a later
///   sync makes it certain. File systems that fail to write names stop writing altogether.)
/// - A full disk takes the part of an append that fits and makes no new files.
///
/// Threads: any, concurrently; one mutex guards everything. The observer is called without it, on the
/// thread of the operation.
class SimulatedDisk {
 public:
  SimulatedDisk() = default;
  explicit SimulatedDisk(DiskImage image) : image_(std::move(image)) {}

  /// What is on it now, unsynced things included.
  [[nodiscard]] DiskImage image() const;

  // ---- tampering: certain at once, neither counted nor observed

  /// Creates the file, or replaces its content, and makes its directories.
  void put(const std::string& path, std::string_view content);
  void put_directory(const std::string& path);
  /// Removes the file `path`, if there is one.
  void erase(const std::string& path);
  /// The content of every file by path.
  [[nodiscard]] std::map<std::string, std::string> contents() const { return image().contents(); }
  /// The content of the file `path`; none: there is no such file.
  [[nodiscard]] std::optional<std::string> content(const std::string& path) const;

  // ---- faults

  void inject(InjectedFault fault);
  /// No more injected faults.
  void heal();
  /// How many operations have failed because of `inject`.
  [[nodiscard]] std::size_t faults_met() const;
  /// Permission denied for `path` and for making and removing names in it.
  void refuse(const std::string& path);
  /// All files together take at most so many bytes; none: any number.
  void limit_bytes(std::optional<std::uint64_t> bytes);

  /// The host stops and comes up in a state drawn from `random`: every process has ended.
  void crash(Random& random);
  /// The same with the least that a crash can leave.
  void lose_unsynced();

  // ---- looking

  /// Called after every operation.
  void observe(std::function<void(const FileEvent&)> observer);
  /// The paths under which files were opened that are open now, sorted.
  [[nodiscard]] std::vector<std::string> open_files() const;

 private:
  friend class SimulatedFileSystem;
  /// One that uses the disk. `ended`: nothing that it holds works any more.
  struct Process {
    std::string name;
    bool ended = false;
  };
  struct OpenFile {
    DiskImage::Node node = 0;
    std::string path;
    std::shared_ptr<Process> process;
  };
  struct HeldLock {
    DiskImage::Node node = 0;
    std::shared_ptr<Process> process;
  };

  // All of these with `mutex_` held.
  [[nodiscard]] std::optional<Fault> draw_fault(FileOperation operation);
  [[nodiscard]] bool is_refused(const std::string& path) const { return refused_.contains(path); }
  [[nodiscard]] std::set<DiskImage::Node> open_nodes() const;
  void forget_unreachable() { image_.forget_unreachable(open_nodes()); }
  DiskImage::Node make_place(const std::string& path);
  void end(const Process* process);
  void come_up(DiskImage image);

  /// Does what `event` says: `effect()`, or its failure. `when_failing(fault)` sees to what a fault
  /// leaves behind.
  template <class Effect, class WhenFailing>
  auto perform(const std::shared_ptr<Process>& process, FileEvent event, Effect effect,
               WhenFailing when_failing) -> decltype(effect(event));

  mutable std::mutex mutex_;  ///< guards all below
  DiskImage image_;
  std::vector<std::shared_ptr<Process>> processes_;
  std::map<std::uint64_t, OpenFile> open_;
  std::map<std::uint64_t, HeldLock> locks_;
  std::uint64_t next_handle_ = 0;
  std::set<std::string> refused_;
  std::optional<std::uint64_t> capacity_bytes_;
  std::optional<InjectedFault> fault_;
  std::size_t faults_met_ = 0;
  std::function<void(const FileEvent&)> observer_;
};

/// The files that one simulated process sees. When it is destroyed the process has ended, however much
/// of it is still in memory: its files are closed, its locks released, and nothing that it had opened
/// works any more.
/// There are no symbolic links. Threads: as `FileSystem`.
class SimulatedFileSystem final : public FileSystem {
 public:
  /// On a disk of its own.
  SimulatedFileSystem() : SimulatedFileSystem(std::make_shared<SimulatedDisk>()) {}
  /// `process` is for events alone.
  explicit SimulatedFileSystem(std::shared_ptr<SimulatedDisk> disk, std::string process = "");
  ~SimulatedFileSystem() override;
  SimulatedFileSystem(const SimulatedFileSystem&) = delete;
  SimulatedFileSystem& operator=(const SimulatedFileSystem&) = delete;

  [[nodiscard]] SimulatedDisk& disk() const { return *disk_; }
  /// The process has ended, as when this is destroyed, but what is left of it in memory may still ask.
  void end_process();

  [[nodiscard]] Result<std::unique_ptr<OutputFile>> create(const std::string& path) override;
  [[nodiscard]] Result<std::unique_ptr<InputFile>> open(const std::string& path) override;
  [[nodiscard]] Status rename_no_replace(const std::string& from, const std::string& to) override;
  [[nodiscard]] Status sync_directory(const std::string& directory) override;
  [[nodiscard]] Status make_directory(const std::string& path) override;
  [[nodiscard]] Result<std::vector<DirectoryEntry>> list(const std::string& directory) override;
  [[nodiscard]] Result<DirectoryEntry> stat(const std::string& path) override;
  [[nodiscard]] Status remove(const std::string& path) override;
  [[nodiscard]] Status link(const std::string& from, const std::string& to) override;
  [[nodiscard]] Result<std::unique_ptr<DirectoryLock>> lock_directory(
      const std::string& directory) override;

 private:
  class Handle;
  class Output;
  class Input;
  class Lock;

  const std::shared_ptr<SimulatedDisk> disk_;
  const std::shared_ptr<SimulatedDisk::Process> process_;
};

}  // namespace weir
