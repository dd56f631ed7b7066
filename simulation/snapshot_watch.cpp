#include "simulation/snapshot_watch.hpp"

#include <algorithm>

#include "simulation/path_parts.hpp"
#include "state/key_groups.hpp"
#include "state/snapshot_io.hpp"
#include "state/snapshot_metadata.hpp"

namespace weir {

std::optional<std::string> SnapshotWatch::see(const FileEvent& event) {
  // What an operation has done shows on the disk, whatever it has answered.
  switch (event.operation) {
    case FileOperation::rename:
      return name_of(event.to) == metadata_file_name ? see_appeared(event.to) : std::nullopt;
    case FileOperation::remove:
      return event.failure == Errc::not_found ? std::nullopt : see_removed(event.path);
    case FileOperation::sync_directory:
      if (!event.failure)
        std::erase_if(leaving_,
                      [&](const auto& one) { return directory_of(one.first) == event.path; });
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

std::optional<SnapshotWatch::Complete> SnapshotWatch::read_complete(const std::string& path) const {
  const auto bytes = read_(path);
  if (!bytes) return std::nullopt;
  const auto metadata = decode_metadata(*bytes, path);
  if (!metadata) return std::nullopt;
  Complete complete{metadata->job, metadata->checkpoint, metadata->kind, hash_bytes(*bytes), {}};
  const std::string directory = directory_of(path);
  for (const DataLocation& location : metadata->locations)
    if (!location.file.empty())
      complete.files.insert((location.shared ? shared_directory(directory) : directory) + "/" +
                            location.file);
  return complete;
}

std::optional<std::string> SnapshotWatch::see_appeared(const std::string& path) {
  auto complete = read_complete(path);
  if (!complete) return std::nullopt;
  const Completed here{path, complete->kind, complete->hash};
  const auto [known, is_new] = completed_.try_emplace({complete->job, complete->number}, here);
  const JobId job = complete->job;
  const CheckpointId number = complete->number;
  there_[path] = std::move(*complete);
  if (is_new || known->second == here) return std::nullopt;
  return "one completed snapshot was expected under number " + std::to_string(number.value) +
         " of job " + to_string(job) + ", found " + path + " after " + known->second.path +
         (known->second.path == path ? ", with other contents" : "");
}

std::optional<std::string> SnapshotWatch::see_removed(const std::string& path) {
  if (read_(path)) return std::nullopt;
  if (auto node = there_.extract(path)) {
    leaving_.insert(std::move(node));
    return std::nullopt;
  }
  for (const auto& [metadata, complete] : there_)
    if (complete.files.contains(path))
      return path + " was expected to be kept, because " + metadata +
             " refers to it, found it deleted";
  for (const auto& [metadata, complete] : leaving_)
    if (complete.files.contains(path))
      return path + " was expected to be kept until the removal of " + metadata +
             ", which refers to it, is durable, found it deleted before";
  return std::nullopt;
}

void SnapshotWatch::see_crash() {
  std::erase_if(there_, [&](const auto& one) {
    const auto& [path, complete] = one;
    if (read_complete(path)) return false;
    // Whether it had been reported is the business of those who look for it.
    const auto known = completed_.find({complete.job, complete.number});
    if (known != completed_.end() && known->second.path == path) completed_.erase(known);
    return true;
  });
  // What was removed has come back, or is gone for good.
  std::erase_if(leaving_, [&](const auto& one) { return !read_complete(one.first); });
  there_.merge(leaving_);
  leaving_.clear();
}

std::map<JobId, CheckpointId> SnapshotWatch::newest() const {
  std::map<JobId, CheckpointId> newest;
  for (const auto& [key, one] : completed_) newest[key.first] = key.second;  // they ascend
  return newest;
}

}  // namespace weir
