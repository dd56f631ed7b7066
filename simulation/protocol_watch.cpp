#include "simulation/protocol_watch.hpp"

#include <algorithm>
#include <memory>
#include <vector>

#include "simulation/path_parts.hpp"

namespace weir {

namespace {

/// Which files are there that should not be.
std::optional<std::string> unexpected_files(const std::vector<std::string>& paths,
                                            const std::string& why) {
  constexpr std::size_t shown = 3;
  if (paths.empty()) return std::nullopt;
  std::string text = "no file was expected to be left that no snapshot needs" + why + ", found";
  for (std::size_t i = 0; i < std::min(paths.size(), shown); ++i)
    text += (i > 0 ? ", " : " ") + paths[i];
  if (paths.size() > shown) text += " and " + std::to_string(paths.size() - shown) + " more";
  return text;
}

}  // namespace

ProtocolWatch::ProtocolWatch(Settings settings)
    : settings_(std::move(settings)),
      snapshots_(settings_.read),
      commits_(snapshots_),
      orphans_(snapshots_, settings_.checkpoints, settings_.savepoints),
      queues_(settings_.channel_bytes) {}

void ProtocolWatch::attach(SimulatedCluster::Settings& cluster) {
  cluster.on_file = [this](const FileEvent& event) { see_file(event); };
  cluster.on_host_crash = [this] { snapshots_.see_crash(); };
  cluster.on_delivery = [this, asked = std::move(cluster.on_delivery)](const DeliveryRecord& record,
                                                                       const std::string& process) {
    if (asked && asked(record, process)) return true;
    see_delivery(record, process);
    return false;
  };
  cluster.on_task_step = [this](const TaskEnvironment& task, bool over) {
    if (over)
      tell(queues_.see_step_over(task));
    else
      queues_.see_step(task);
  };
}

void ProtocolWatch::see_file(const FileEvent& event) {
  tell(snapshots_.see(event));
  orphans_.see(event);
  if (settings_.outputs.contains(directory_of(event.to))) tell(commits_.see(event));
}

void ProtocolWatch::see_delivery(const DeliveryRecord& record, const std::string& process) {
  if (record.to.kind == EndpointKind::job_manager) commits_.see_leader(process);
  if (record.fence && record.to.kind == EndpointKind::task_manager &&
      record.message == message_name(SubmitTask{}))
    commits_.see_deployed(process, record.job, *record.fence);
}

void ProtocolWatch::tell(std::optional<std::string> broken) {
  if (broken) broken_.push_back(std::move(*broken));
}

std::optional<std::string> ProtocolWatch::take_broken(const SimulatedCluster& cluster) {
  if (broken_.empty()) return QueueWatch::see_mailbox(cluster.longest_mailbox());
  std::string first = std::move(broken_.front());
  broken_.pop_front();
  return first;
}

std::optional<std::string> ProtocolWatch::find_orphan(SimulatedCluster& cluster,
                                                      const OrphanWatch::Finished& finished) const {
  std::vector<std::string> paths;
  for (const auto& [path, content] : cluster.disk().contents()) paths.push_back(path);
  return unexpected_files(
      orphans_.orphans(paths, finished,
                       [&](const std::string& process) { return cluster.is_running(process); }),
      "");
}

std::optional<std::string> ProtocolWatch::find_lasting_orphan(
    SimulatedCluster& cluster,
    const std::optional<std::pair<std::string, std::string>>& mended) const {
  const auto copy = std::make_shared<SimulatedDisk>(cluster.disk().image());
  if (mended && copy->content(mended->first)) copy->put(mended->first, mended->second);
  const auto left = orphans_.left_by_cleaner(copy);
  if (!left) return "what crashes have left was expected to be removed, found " + left.error().what;
  return unexpected_files(*left, " when the jobs have cleaned up behind crashes");
}

}  // namespace weir
