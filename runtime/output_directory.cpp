#include "runtime/output_directory.hpp"

#include <algorithm>
#include <ranges>
#include <set>
#include <utility>

namespace weir {
namespace {

/// `directory` and those of its parents that are not there, from within.
std::vector<std::string> missing_directories(FileSystem& files, const std::string& directory) {
  std::vector<std::string> missing;
  for (std::string path = directory; !path.empty(); path.resize(path.find_last_of('/'))) {
    const auto entry = files.stat(path);
    if (entry || entry.error().code != Errc::not_found) break;
    missing.push_back(path);
  }
  return missing;
}

}  // namespace

std::unexpected<Error> unusable_output_directory(const std::string& directory, const Error& cause) {
  return error(cause.code,
               "output directory " + directory +
                   " cannot be written; give another or change its permissions: " + cause.what);
}

Status refuse_committed_output(const std::string& directory,
                               const std::vector<DirectoryEntry>& entries) {
  for (const DirectoryEntry& entry : entries) {
    if (entry.is_directory || entry.name.starts_with('.')) continue;
    return error(Errc::already_exists, "output directory " + directory +
                                           " already holds files, such as " + entry.name +
                                           ": give an empty one");
  }
  return {};
}

Result<OutputDirectoryLocks> OutputDirectoryLocks::take(FileSystem& files,
                                                        const PlanDescription& plan) {
  std::set<std::string> directories;
  for (const OperatorDescription& one : plan.operators)
    if (!one.output_directory.empty()) directories.insert(one.output_directory);
  OutputDirectoryLocks locks;
  for (const std::string& directory : directories) {
    if (const Status locked = locks.add(files, directory); !locked) {
      locks.undo(files);
      return std::unexpected(locked.error());
    }
  }
  return locks;
}

Status OutputDirectoryLocks::add(FileSystem& files, const std::string& directory) {
  // Before anything is made: whatever fails from here on, `undo` knows of it.
  Held& held = held_.emplace_back();
  held.directory = directory;
  held.made = missing_directories(files, directory);
  if (auto status = files.create_directories(directory); !status)
    return unusable_output_directory(directory, status.error());
  const auto identity = files.identify_directory(directory);
  if (!identity) return unusable_output_directory(directory, identity.error());
  const bool is_held =
      std::ranges::any_of(held_, [&](const Held& other) { return other.identity == *identity; });
  if (is_held) return {};  // under another path
  held.identity = *identity;
  auto lock = files.lock_directory(directory);
  if (lock) {
    held.lock = std::move(*lock);
    return {};
  }
  if (lock.error().code == Errc::unavailable)
    return error(Errc::unavailable,
                 "output directory " + directory +
                     " is in use by another job that runs: give another directory, or stop that "
                     "job first (`weir list` shows what runs)");
  // What the attempt has left in a directory that was made for it would keep that from being removed.
  if (!held.made.empty()) (void)files.remove(directory + "/.lock");
  if (lock.error().code == Errc::unsupported)
    return error(Errc::unsupported,
                 "output directory " + directory +
                     " cannot be locked against other jobs: give one on a file system that has "
                     "locks (" +
                     lock.error().what + ")");
  return unusable_output_directory(directory, lock.error());
}

void OutputDirectoryLocks::release(FileSystem& files) {
  for (Held& one : std::exchange(held_, {})) {
    if (one.lock == nullptr) continue;  // it could not be locked, or is held under another path
    // While the lock is still held: another job's lock file must not be taken away. One that stays
    // locks nothing.
    (void)files.remove(one.directory + "/.lock");
    one.lock.reset();
  }
}

void OutputDirectoryLocks::undo(FileSystem& files) {
  // The last first: a parent was made with the first of its directories.
  std::vector<std::string> made;
  for (const Held& one : std::views::reverse(held_))
    made.insert(made.end(), one.made.begin(), one.made.end());
  release(files);
  for (const std::string& directory : made)
    (void)files.remove(directory);  // fails if it holds anything
}

}  // namespace weir
