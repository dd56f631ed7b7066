#include "simulation/orphan_watch.hpp"

#include <algorithm>
#include <string_view>

#include "simulation/path_parts.hpp"
#include "simulation/seeded_random.hpp"
#include "state/checkpoint_directory.hpp"
#include "state/snapshot_io.hpp"
#include "storage/file_checkpoint_storage.hpp"

namespace weir {

namespace {

constexpr std::string_view shared_name = "shared";

/// Files by which a job is locked, counts on or is found, beside its snapshots (`state/checkpoint_directory.hpp`).
bool serves_job(const std::string& path) {
  const std::string_view name = name_of(path);
  const bool is_beside = parse_job_id(name_of(directory_of(path))).has_value();
  return is_beside && (name == ".lock" || name == "finished" || name.starts_with("number-") ||
                       name.starts_with("savepoint-"));
}

/// The number of the checkpoint that has this directory.
std::optional<CheckpointId> checkpoint_of(std::string_view directory) {
  std::string_view name = name_of(directory);
  if (!name.starts_with("chk-")) return std::nullopt;
  name.remove_prefix(4);
  CheckpointId number;
  if (!take_number(name, number.value) || !name.empty()) return std::nullopt;
  return number;
}

}  // namespace

bool OrphanWatch::is_of_snapshots(const std::string& path) const {
  return path.starts_with(checkpoints_ + "/") || path.starts_with(savepoints_ + "/");
}

std::string OrphanWatch::job_directory_of(const std::string& path) const {
  if (!path.starts_with(checkpoints_ + "/")) return {};
  return path.substr(0, path.find('/', checkpoints_.size() + 1));
}

void OrphanWatch::see_number(const std::string& job_directory, CheckpointId number) {
  CheckpointId& newest = newest_[job_directory];
  newest = std::max(newest, number);
}

void OrphanWatch::see(const FileEvent& event) {
  const std::string& path = event.to.empty() ? event.path : event.to;
  if (!is_of_snapshots(path)) return;
  const std::string directory = directory_of(path);
  if (event.failure) {
    if (event.failure != Errc::not_found && event.failure != Errc::already_exists) {
      failed_.insert(directory);
      failed_.insert(path);
      const bool deletes = event.operation == FileOperation::remove ||
                           event.operation == FileOperation::sync_directory ||
                           event.operation == FileOperation::list;
      if (deletes) undeleted_[job_directory_of(path)].insert(event.process);
    }
    if (!event.injected) return;  // else it may have happened
  }
  if (event.operation == FileOperation::make_directory) {
    makers_[path].insert(event.process);
    if (const auto number = checkpoint_of(path)) see_number(directory, *number);
  } else if (event.operation == FileOperation::create) {
    makers_[directory].insert(event.process);
    if (const auto numbers = numbers_in_data_file(name_of(path)))
      see_number(directory_of(directory), numbers->second);
  }
}

void OrphanWatch::see_healed() {
  if (!newest_when_healed_) newest_when_healed_ = newest_;
}

bool OrphanWatch::is_late(const std::string& job_directory, CheckpointId number) const {
  if (!newest_when_healed_) return false;
  const auto newest = newest_when_healed_->find(job_directory);
  return newest == newest_when_healed_->end() || number > newest->second;
}

std::set<std::string> OrphanWatch::needed(const Finished* finished) const {
  std::map<CheckpointId, const std::string*> late;  // of `finished`: the paths of `_metadata`
  if (finished != nullptr) {
    const std::string of_job = job_directory(checkpoints_, finished->job);
    for (const auto& [metadata, complete] : snapshots_.there())
      if (directory_of(directory_of(metadata)) == of_job && is_late(of_job, complete.number))
        late[complete.number] = &metadata;
    for (std::size_t i = 0; i < finished->kept && !late.empty(); ++i) late.erase(--late.end());
  }
  std::set<std::string> needed;
  for (const auto& [metadata, complete] : snapshots_.there()) {
    const auto known = late.find(complete.number);
    if (known != late.end() && *known->second == metadata) continue;
    needed.insert(metadata);
    needed.insert(complete.files.begin(), complete.files.end());
  }
  return needed;
}

std::vector<std::string> OrphanWatch::orphans(
    const std::vector<std::string>& paths, const Finished& finished,
    const std::function<bool(const std::string& process)>& is_running) const {
  const std::set<std::string> needed = this->needed(&finished);
  std::vector<std::string> orphans;
  for (const std::string& path : paths) {
    const std::string directory = directory_of(path);
    if (!is_of_snapshots(path) || needed.contains(path) || serves_job(path) ||
        failed_.contains(directory))
      continue;
    if (name_of(directory) == shared_name) {
      const auto undeleted = undeleted_.find(directory_of(directory));
      if (undeleted != undeleted_.end() && std::ranges::any_of(undeleted->second, is_running))
        continue;
      const auto numbers = numbers_in_data_file(name_of(path));
      if (!numbers || is_late(directory_of(directory), numbers->second)) orphans.push_back(path);
      continue;
    }
    const auto makers = makers_.find(directory);
    if (makers == makers_.end() || std::ranges::all_of(makers->second, is_running))
      orphans.push_back(path);
  }
  return orphans;
}

Result<std::vector<std::string>> OrphanWatch::left_by_cleaner(
    std::shared_ptr<SimulatedDisk> disk) const {
  SimulatedFileSystem files(std::move(disk));
  SeededRandom names(0);
  FileCheckpointStorage storage(files, names);
  const auto jobs = storage.list(checkpoints_);
  if (!jobs && jobs.error().code != Errc::not_found) return std::unexpected(jobs.error());
  for (const DirectoryEntry& entry : jobs ? *jobs : std::vector<DirectoryEntry>())
    if (const auto job = parse_job_id(entry.name))
      WEIR_TRY(delete_orphans(storage, checkpoints_, *job));
  const std::set<std::string> needed = this->needed(nullptr);
  std::vector<std::string> left;
  for (const auto& [path, content] : files.disk().contents())
    if (path.starts_with(checkpoints_ + "/") && !needed.contains(path) && !serves_job(path))
      left.push_back(path);
  return left;
}

}  // namespace weir
