#include "simulation/overlay_file_system.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace weir {

namespace {

/// The beginning of a file.
class CutFile final : public InputFile {
 public:
  CutFile(std::unique_ptr<InputFile> file, std::uint64_t size)
      : file_(std::move(file)), size_(size) {}
  Result<std::size_t> read_at(std::uint64_t offset, char* out, std::size_t size) override {
    if (offset >= size_) return std::size_t{0};
    return file_->read_at(offset, out,
                          static_cast<std::size_t>(std::min<std::uint64_t>(size, size_ - offset)));
  }
  Result<std::uint64_t> size() override { return size_; }

 private:
  const std::unique_ptr<InputFile> file_;
  const std::uint64_t size_;
};

/// Where the `lines`-th line of `file` ends, or the file before that.
Result<std::uint64_t> end_of_line(InputFile& file, std::uint64_t lines) {
  std::array<char, 65536> buffer;
  std::uint64_t at = 0;
  while (lines > 0) {
    WEIR_TRY_ASSIGN(size, file.read_at(at, buffer.data(), buffer.size()));
    if (size == 0) break;
    for (std::size_t i = 0; i < size && lines > 0; ++i) {
      if (buffer[i] == '\n') --lines;
      ++at;
    }
  }
  return at;
}

bool is_not_there(const Error& failed) { return failed.code == Errc::not_found; }

std::unexpected<Error> is_there_already(const std::string& path) {
  return error(Errc::already_exists, path + ": is there already");
}

}  // namespace

OverlayFileSystem::OverlayFileSystem(FileSystem& files, SimulatedDisk& disk, Settings settings)
    : files_(files), disk_(disk), settings_(std::move(settings)) {}

bool OverlayFileSystem::shows_inputs(const std::string& path) const {
  return std::ranges::none_of(settings_.hidden, [&](const std::string& one) {
    return path == one || path.starts_with(one + "/");
  });
}

bool OverlayFileSystem::is_input(const std::string& path) const {
  return shows_inputs(path) && settings_.inputs->stat(path).has_value();
}

void OverlayFileSystem::make_place_for(const std::string& path) {
  const std::string directory = path.substr(0, path.rfind('/'));
  if (directory.empty() || !shows_inputs(directory)) return;
  const auto below = settings_.inputs->stat(directory);
  if (below && below->is_directory) disk_.put_directory(directory);
}

Result<std::uint64_t> OverlayFileSystem::visible_size(const std::string& path) {
  WEIR_TRY_ASSIGN(file, settings_.inputs->open(path));
  if (!settings_.lines) return file->size();
  return end_of_line(*file, *settings_.lines);
}

Result<std::unique_ptr<OutputFile>> OverlayFileSystem::create(const std::string& path) {
  make_place_for(path);
  if (is_input(path)) return is_there_already(path);
  return files_.create(path);
}

Result<std::unique_ptr<InputFile>> OverlayFileSystem::open(const std::string& path) {
  auto file = files_.open(path);
  if (file || !is_not_there(file.error()) || !shows_inputs(path)) return file;
  WEIR_TRY_ASSIGN(below, settings_.inputs->open(path));
  if (!settings_.lines) return below;
  WEIR_TRY_ASSIGN(size, end_of_line(*below, *settings_.lines));
  return std::make_unique<CutFile>(std::move(below), size);
}

Status OverlayFileSystem::rename_no_replace(const std::string& from, const std::string& to) {
  make_place_for(to);
  if (is_input(to)) return is_there_already(to);
  return files_.rename_no_replace(from, to);
}

Status OverlayFileSystem::sync_directory(const std::string& directory) {
  make_place_for(directory + "/");
  return files_.sync_directory(directory);
}

Status OverlayFileSystem::make_directory(const std::string& path) {
  make_place_for(path);
  if (is_input(path)) {
    make_place_for(path + "/");
    return is_there_already(path);
  }
  return files_.make_directory(path);
}

Result<std::vector<DirectoryEntry>> OverlayFileSystem::list(const std::string& directory) {
  auto entries = files_.list(directory);
  if (!entries && !is_not_there(entries.error())) return entries;
  if (!shows_inputs(directory)) return entries;
  auto below = settings_.inputs->list(directory);
  if (!below) return entries ? std::move(entries) : std::move(below);
  std::erase_if(
      *below, [&](const DirectoryEntry& one) { return !shows_inputs(directory + "/" + one.name); });
  if (!entries) return below;
  for (DirectoryEntry& one : *below)
    if (std::ranges::find(*entries, one.name, &DirectoryEntry::name) == entries->end())
      entries->push_back(std::move(one));
  std::ranges::sort(*entries, {}, &DirectoryEntry::name);
  return entries;
}

Result<DirectoryEntry> OverlayFileSystem::stat(const std::string& path) {
  auto entry = files_.stat(path);
  if (entry || !is_not_there(entry.error()) || !shows_inputs(path)) return entry;
  WEIR_TRY_ASSIGN(below, settings_.inputs->stat(path));
  if (!below.is_directory && settings_.lines) {
    WEIR_TRY_ASSIGN(size, visible_size(path));
    below.size_bytes = size;
  }
  return below;
}

Status OverlayFileSystem::remove(const std::string& path) {
  auto removed = files_.remove(path);
  if (!removed && is_not_there(removed.error()) && is_input(path))
    return error(Errc::io_error, path + ": is input of a simulation, which only reads it");
  return removed;
}

Status OverlayFileSystem::link(const std::string& from, const std::string& to) {
  make_place_for(to);
  if (is_input(to)) return is_there_already(to);
  return files_.link(from, to);
}

Result<std::unique_ptr<DirectoryLock>> OverlayFileSystem::lock_directory(
    const std::string& directory) {
  make_place_for(directory + "/");
  return files_.lock_directory(directory);
}

}  // namespace weir
