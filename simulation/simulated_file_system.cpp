#include "simulation/simulated_file_system.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace weir {
namespace {

using Node = DiskImage::Node;

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

/// As PosixFileSystem answers.
std::unexpected<Error> failure(int number, const std::string& path, std::string_view action) {
  const Errc code = number == ENOENT || number == ENOTDIR ? Errc::not_found
                    : number == EEXIST                    ? Errc::already_exists
                                                          : Errc::io_error;
  return error(code, path + ": cannot " + std::string(action) + ": " +
                         std::generic_category().message(number));
}

std::unexpected<Error> failure(int number, const FileEvent& event) {
  return failure(number, event.to.empty() ? event.path : event.to, to_string(event.operation));
}

int number_of(Fault fault) {
  switch (fault) {
    case Fault::no_space:
    case Fault::short_write:
      return ENOSPC;
    case Fault::interrupted:
      return EINTR;
    case Fault::io_error:
    case Fault::reported_failed:
    case Fault::half_renamed:
      break;
  }
  return EIO;
}

bool can_meet(Fault fault, FileOperation operation) {
  if (fault == Fault::short_write) return operation == FileOperation::append;
  if (fault == Fault::half_renamed) return operation == FileOperation::rename;
  return true;
}

constexpr auto nothing = [](Fault) {};

}  // namespace

std::string_view to_string(FileOperation operation) {
  switch (operation) {
    case FileOperation::create:
      return "create";
    case FileOperation::append:
      return "append";
    case FileOperation::sync:
      return "sync";
    case FileOperation::close:
      return "close";
    case FileOperation::open:
      return "open";
    case FileOperation::read:
      return "read";
    case FileOperation::size:
      return "size";
    case FileOperation::rename:
      return "rename";
    case FileOperation::sync_directory:
      return "sync_directory";
    case FileOperation::make_directory:
      return "make_directory";
    case FileOperation::list:
      return "list";
    case FileOperation::stat:
      return "stat";
    case FileOperation::remove:
      return "remove";
    case FileOperation::link:
      return "link";
    case FileOperation::lock:
      return "lock";
  }
  return "unknown";
}

std::string_view to_string(Fault fault) {
  switch (fault) {
    case Fault::no_space:
      return "ENOSPC";
    case Fault::io_error:
      return "EIO";
    case Fault::interrupted:
      return "EINTR";
    case Fault::short_write:
      return "short write";
    case Fault::reported_failed:
      return "EIO although it has happened";
    case Fault::half_renamed:
      return "EIO with both names";
  }
  return "unknown";
}

std::string to_string(const FileEvent& event) {
  std::string text(to_string(event.operation));
  text += " " + event.path;
  if (!event.to.empty()) text += " to " + event.to;
  if (event.failure) text += " (failed: " + std::string(to_string(*event.failure)) + ")";
  return text;
}

// ---- SimulatedDisk ----------------------------------------------------------------------------------

DiskImage SimulatedDisk::image() const {
  const std::lock_guard guard(mutex_);
  return image_;
}

DiskImage::Node SimulatedDisk::make_place(const std::string& path) {
  if (path == "/") return *image_.find("/");
  const Node parent = make_place(parent_of(path));
  if (const auto found = image_.find(path)) return *found;
  const Node made = image_.add_directory(parent, name_of(path));
  image_.sync_directory(parent);
  return made;
}

void SimulatedDisk::put(const std::string& path, std::string_view content) {
  const std::lock_guard guard(mutex_);
  const Node directory = make_place(parent_of(path));
  const Node file = image_.add_file(directory, name_of(path));
  image_.append(file, content);
  image_.sync_file(file);
  image_.sync_directory(directory);
  forget_unreachable();
}

void SimulatedDisk::put_directory(const std::string& path) {
  const std::lock_guard guard(mutex_);
  make_place(path);
}

void SimulatedDisk::erase(const std::string& path) {
  const std::lock_guard guard(mutex_);
  if (!image_.find(path)) return;
  const Node directory = *image_.find(parent_of(path));
  image_.remove_name(directory, name_of(path));
  image_.sync_directory(directory);
  forget_unreachable();
}

void SimulatedDisk::inject(InjectedFault fault) {
  const std::lock_guard guard(mutex_);
  fault_ = fault;
  faults_met_ = 0;
}

std::optional<std::string> SimulatedDisk::content(const std::string& path) const {
  const std::lock_guard guard(mutex_);
  const auto node = image_.find(path);
  if (!node || image_.is_directory(*node)) return std::nullopt;
  return std::string(image_.content(*node));
}

void SimulatedDisk::heal() {
  const std::lock_guard guard(mutex_);
  fault_.reset();
}

std::size_t SimulatedDisk::faults_met() const {
  const std::lock_guard guard(mutex_);
  return faults_met_;
}

void SimulatedDisk::refuse(const std::string& path) {
  const std::lock_guard guard(mutex_);
  refused_.insert(path);
}

void SimulatedDisk::limit_bytes(std::optional<std::uint64_t> bytes) {
  const std::lock_guard guard(mutex_);
  capacity_bytes_ = bytes;
}

void SimulatedDisk::come_up(DiskImage image) {
  for (const auto& process : processes_) process->ended = true;
  processes_.clear();
  open_.clear();
  locks_.clear();
  image_ = std::move(image);
}

void SimulatedDisk::crash(Random& random) {
  const std::lock_guard guard(mutex_);
  come_up(image_.after_crash(random));
}

void SimulatedDisk::lose_unsynced() {
  const std::lock_guard guard(mutex_);
  come_up(image_.without_unsynced());
}

void SimulatedDisk::observe(std::function<void(const FileEvent&)> observer) {
  const std::lock_guard guard(mutex_);
  observer_ = std::move(observer);
}

std::vector<std::string> SimulatedDisk::open_files() const {
  const std::lock_guard guard(mutex_);
  std::vector<std::string> paths;
  for (const auto& [handle, file] : open_) paths.push_back(file.path);
  std::ranges::sort(paths);
  return paths;
}

std::optional<Fault> SimulatedDisk::draw_fault(FileOperation operation) {
  if (!fault_ || !can_meet(fault_->fault, operation)) return std::nullopt;
  if (fault_->only && *fault_->only != operation) return std::nullopt;
  if (fault_->at > 1) {
    --fault_->at;
    return std::nullopt;
  }
  const Fault fault = fault_->fault;
  if (fault_->times != InjectedFault::always && --fault_->times == 0) fault_.reset();
  ++faults_met_;
  return fault;
}

std::set<DiskImage::Node> SimulatedDisk::open_nodes() const {
  std::set<Node> nodes;
  for (const auto& [handle, file] : open_) nodes.insert(file.node);
  return nodes;
}

void SimulatedDisk::end(const Process* process) {
  std::erase_if(open_, [&](const auto& one) { return one.second.process.get() == process; });
  std::erase_if(locks_, [&](const auto& one) { return one.second.process.get() == process; });
  std::erase_if(processes_, [&](const auto& one) { return one.get() == process; });
  forget_unreachable();
}

template <class Effect, class WhenFailing>
auto SimulatedDisk::perform(const std::shared_ptr<Process>& process, FileEvent event, Effect effect,
                            WhenFailing when_failing) -> decltype(effect(event)) {
  event.process = process->name;
  std::function<void(const FileEvent&)> observer;
  // What an operation returned that is reported as failed; a handle in it takes the mutex when it goes.
  std::optional<decltype(effect(event))> dropped;
  auto result = [&]() -> decltype(effect(event)) {
    const std::lock_guard guard(mutex_);
    if (process->ended) return error(Errc::io_error, event.path + ": its process has ended");
    observer = observer_;
    if (is_refused(event.path)) return failure(EACCES, event);
    const auto fault = draw_fault(event.operation);
    if (!fault) return effect(event);
    event.injected = true;
    if (*fault == Fault::reported_failed)
      dropped.emplace(effect(event));
    else
      when_failing(*fault);
    return failure(number_of(*fault), event);
  }();
  if (!result) event.failure = result.error().code;
  if (observer) observer(event);
  return result;
}

// ---- what a process holds ---------------------------------------------------------------------------

/// An open file of a process.
class SimulatedFileSystem::Handle {
 public:
  /// With the disk's mutex held.
  Handle(std::shared_ptr<SimulatedDisk> disk, std::shared_ptr<SimulatedDisk::Process> process,
         Node node, std::string path)
      : disk_(std::move(disk)),
        process_(std::move(process)),
        node_(node),
        path_(std::move(path)),
        number_(disk_->next_handle_++) {
    disk_->open_[number_] = {node_, path_, process_};
  }
  ~Handle() { close(); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  [[nodiscard]] Node node() const { return node_; }
  [[nodiscard]] FileEvent event(FileOperation operation) const {
    return {operation, {}, path_, {}};
  }
  template <class Effect, class WhenFailing>
  auto perform(FileEvent event, Effect effect, WhenFailing when_failing) {
    return disk_->perform(process_, std::move(event), effect, when_failing);
  }
  [[nodiscard]] SimulatedDisk& disk() const { return *disk_; }
  void close() {
    const std::lock_guard guard(disk_->mutex_);
    disk_->open_.erase(number_);
  }

 private:
  const std::shared_ptr<SimulatedDisk> disk_;
  const std::shared_ptr<SimulatedDisk::Process> process_;
  const Node node_;
  const std::string path_;
  const std::uint64_t number_;
};

class SimulatedFileSystem::Output final : public OutputFile {
 public:
  explicit Output(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}

  Status append(std::string_view bytes) override {
    SimulatedDisk& disk = handle_->disk();
    const auto write = [&](std::size_t size) {
      disk.image_.append(handle_->node(), bytes.substr(0, size));
    };
    FileEvent event = handle_->event(FileOperation::append);
    event.bytes = bytes.size();
    return handle_->perform(
        std::move(event),
        [&](const FileEvent& happening) -> Status {
          if (disk.capacity_bytes_) {
            const std::uint64_t used = disk.image_.used_bytes(disk.open_nodes());
            const std::uint64_t left =
                *disk.capacity_bytes_ > used ? *disk.capacity_bytes_ - used : 0;
            if (left < bytes.size()) {
              write(left);
              return failure(ENOSPC, happening);
            }
          }
          write(bytes.size());
          return {};
        },
        [&](Fault fault) {
          if (fault == Fault::short_write) write(bytes.size() / 2);
        });
  }

  Status sync() override {
    DiskImage& image = handle_->disk().image_;
    return handle_->perform(
        handle_->event(FileOperation::sync),
        [&](FileEvent& happening) -> Status {
          happening.distrusted = image.is_distrusted(handle_->node());
          image.sync_file(handle_->node());
          return {};
        },
        [&](Fault) { image.fail_sync(handle_->node()); });
  }

  Status close() override {
    // The descriptor is gone whatever closing it answers.
    auto closed = handle_->perform(
        handle_->event(FileOperation::close), [](const FileEvent&) -> Status { return {}; },
        nothing);
    handle_->close();
    return closed;
  }

 private:
  const std::unique_ptr<Handle> handle_;
};

class SimulatedFileSystem::Input final : public InputFile {
 public:
  explicit Input(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}

  Result<std::size_t> read_at(std::uint64_t offset, char* out, std::size_t size) override {
    return handle_->perform(
        handle_->event(FileOperation::read),
        [&](FileEvent& happening) -> Result<std::size_t> {
          const std::string_view content = handle_->disk().image_.content(handle_->node());
          if (offset >= content.size()) return std::size_t{0};
          const std::string_view part = content.substr(offset, size);
          std::memcpy(out, part.data(), part.size());
          happening.bytes = part.size();
          return part.size();
        },
        nothing);
  }

  Result<std::uint64_t> size() override {
    return handle_->perform(
        handle_->event(FileOperation::size),
        [&](const FileEvent&) -> Result<std::uint64_t> {
          return handle_->disk().image_.content(handle_->node()).size();
        },
        nothing);
  }

 private:
  const std::unique_ptr<Handle> handle_;
};

class SimulatedFileSystem::Lock final : public DirectoryLock {
 public:
  /// With the disk's mutex held.
  Lock(std::shared_ptr<SimulatedDisk> disk, Node node,
       std::shared_ptr<SimulatedDisk::Process> process)
      : disk_(std::move(disk)), number_(disk_->next_handle_++) {
    disk_->locks_[number_] = {node, std::move(process)};
  }
  ~Lock() override {
    const std::lock_guard guard(disk_->mutex_);
    disk_->locks_.erase(number_);
  }

 private:
  const std::shared_ptr<SimulatedDisk> disk_;
  const std::uint64_t number_;
};

// ---- SimulatedFileSystem ----------------------------------------------------------------------------

SimulatedFileSystem::SimulatedFileSystem(std::shared_ptr<SimulatedDisk> disk, std::string process)
    : disk_(std::move(disk)), process_(std::make_shared<SimulatedDisk::Process>()) {
  process_->name = std::move(process);
  const std::lock_guard guard(disk_->mutex_);
  disk_->processes_.push_back(process_);
}

SimulatedFileSystem::~SimulatedFileSystem() { end_process(); }

void SimulatedFileSystem::end_process() {
  const std::lock_guard guard(disk_->mutex_);
  process_->ended = true;
  disk_->end(process_.get());
}

Result<std::unique_ptr<OutputFile>> SimulatedFileSystem::create(const std::string& path) {
  return disk_->perform(
      process_, {FileOperation::create, {}, path, {}},
      [&](const FileEvent& event) -> Result<std::unique_ptr<OutputFile>> {
        DiskImage& image = disk_->image_;
        const auto directory = image.find(parent_of(path));
        if (disk_->is_refused(parent_of(path))) return failure(EACCES, event);
        if (!directory || !image.is_directory(*directory)) return failure(ENOENT, event);
        if (image.find(path)) return failure(EEXIST, event);
        if (disk_->capacity_bytes_ &&
            image.used_bytes(disk_->open_nodes()) >= *disk_->capacity_bytes_)
          return failure(ENOSPC, event);
        return std::make_unique<Output>(std::make_unique<Handle>(
            disk_, process_, image.add_file(*directory, name_of(path)), path));
      },
      nothing);
}

Result<std::unique_ptr<InputFile>> SimulatedFileSystem::open(const std::string& path) {
  return disk_->perform(
      process_, {FileOperation::open, {}, path, {}},
      [&](const FileEvent& event) -> Result<std::unique_ptr<InputFile>> {
        const auto node = disk_->image_.find(path);
        if (!node) return failure(ENOENT, event);
        if (disk_->image_.is_directory(*node)) return failure(EISDIR, event);
        return std::make_unique<Input>(std::make_unique<Handle>(disk_, process_, *node, path));
      },
      nothing);
}

Status SimulatedFileSystem::rename_no_replace(const std::string& from, const std::string& to) {
  DiskImage& image = disk_->image_;
  return disk_->perform(
      process_, {FileOperation::rename, {}, from, to},
      [&](const FileEvent& event) -> Status {
        const auto directory = image.find(parent_of(to));
        if (disk_->is_refused(parent_of(to))) return failure(EACCES, event);
        if (!image.find(from) || !directory || !image.is_directory(*directory))
          return failure(ENOENT, event);
        if (image.find(to)) return failure(EEXIST, event);
        image.rename(*image.find(parent_of(from)), name_of(from), *directory, name_of(to));
        return {};
      },
      [&](Fault fault) {
        const auto node = image.find(from);
        const auto directory = image.find(parent_of(to));
        if (fault == Fault::half_renamed && node && directory && !image.find(to))
          image.add_name(*directory, name_of(to), *node);
      });
}

Status SimulatedFileSystem::sync_directory(const std::string& directory) {
  return disk_->perform(
      process_, {FileOperation::sync_directory, {}, directory, {}},
      [&](const FileEvent& event) -> Status {
        const auto node = disk_->image_.find(directory);
        if (!node) return failure(ENOENT, event);
        if (!disk_->image_.is_directory(*node)) return failure(ENOTDIR, event);
        disk_->image_.sync_directory(*node);
        disk_->forget_unreachable();
        return {};
      },
      nothing);
}

Status SimulatedFileSystem::make_directory(const std::string& path) {
  return disk_->perform(
      process_, {FileOperation::make_directory, {}, path, {}},
      [&](const FileEvent& event) -> Status {
        DiskImage& image = disk_->image_;
        const auto directory = image.find(parent_of(path));
        if (disk_->is_refused(parent_of(path))) return failure(EACCES, event);
        if (!directory || !image.is_directory(*directory)) return failure(ENOENT, event);
        if (image.find(path)) return failure(EEXIST, event);
        image.add_directory(*directory, name_of(path));
        return {};
      },
      nothing);
}

Result<std::vector<DirectoryEntry>> SimulatedFileSystem::list(const std::string& directory) {
  return disk_->perform(
      process_, {FileOperation::list, {}, directory, {}},
      [&](const FileEvent& event) -> Result<std::vector<DirectoryEntry>> {
        const DiskImage& image = disk_->image_;
        const auto node = image.find(directory);
        if (!node) return failure(ENOENT, event);
        if (!image.is_directory(*node)) return failure(ENOTDIR, event);
        std::vector<DirectoryEntry> entries;
        for (const auto& [name, child] : image.names(*node)) {
          const bool below = image.is_directory(child);
          entries.push_back({name, below, below ? 0 : image.content(child).size()});
        }
        return entries;
      },
      nothing);
}

Result<DirectoryEntry> SimulatedFileSystem::stat(const std::string& path) {
  return disk_->perform(
      process_, {FileOperation::stat, {}, path, {}},
      [&](const FileEvent& event) -> Result<DirectoryEntry> {
        const DiskImage& image = disk_->image_;
        const auto node = image.find(path);
        if (!node) return failure(ENOENT, event);
        const bool below = image.is_directory(*node);
        return DirectoryEntry{name_of(path), below, below ? 0 : image.content(*node).size()};
      },
      nothing);
}

Status SimulatedFileSystem::remove(const std::string& path) {
  return disk_->perform(
      process_, {FileOperation::remove, {}, path, {}},
      [&](const FileEvent& event) -> Status {
        DiskImage& image = disk_->image_;
        const auto node = image.find(path);
        if (disk_->is_refused(parent_of(path))) return failure(EACCES, event);
        if (!node) return failure(ENOENT, event);
        if (image.is_directory(*node) && !image.names(*node).empty())
          return failure(ENOTEMPTY, event);
        image.remove_name(*image.find(parent_of(path)), name_of(path));
        return {};
      },
      nothing);
}

Status SimulatedFileSystem::link(const std::string& from, const std::string& to) {
  return disk_->perform(
      process_, {FileOperation::link, {}, from, to},
      [&](const FileEvent& event) -> Status {
        DiskImage& image = disk_->image_;
        const auto node = image.find(from);
        const auto directory = image.find(parent_of(to));
        if (!node || !directory || !image.is_directory(*directory)) return failure(ENOENT, event);
        if (image.is_directory(*node)) return failure(EPERM, event);
        if (image.find(to)) return failure(EEXIST, event);
        image.add_name(*directory, name_of(to), *node);
        return {};
      },
      nothing);
}

Result<std::unique_ptr<DirectoryLock>> SimulatedFileSystem::lock_directory(
    const std::string& directory) {
  const std::string path = directory + "/.lock";
  return disk_->perform(
      process_, {FileOperation::lock, {}, path, {}},
      [&](const FileEvent& event) -> Result<std::unique_ptr<DirectoryLock>> {
        DiskImage& image = disk_->image_;
        const auto place = image.find(directory);
        if (!place || !image.is_directory(*place)) return failure(ENOENT, event);
        const auto found = image.find(path);
        const Node node = found ? *found : image.add_file(*place, name_of(path));
        const bool held = std::ranges::any_of(
            disk_->locks_, [&](const auto& one) { return one.second.node == node; });
        if (held)
          return error(Errc::unavailable, directory + ": is locked: another process uses it");
        return std::make_unique<Lock>(disk_, node, process_);
      },
      nothing);
}

}  // namespace weir
