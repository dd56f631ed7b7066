#include "simulation/kill_points.hpp"

#include "simulation/path_parts.hpp"

namespace weir {

namespace {

/// The last part of a path; of a file that is being written, `.NAME.RANDOM`, it is NAME.
std::string_view final_name_of(std::string_view path) {
  std::string_view name = name_of(path);
  if (!name.starts_with('.')) return name;
  name.remove_prefix(1);
  return name.substr(0, name.rfind('.'));
}

}  // namespace

std::string_view file_kill_point(const FileEvent& event, std::string_view snapshots) {
  if (event.failure || event.process.empty()) return {};
  if (event.operation == FileOperation::sync_directory) return "sync directory";
  const bool metadata = final_name_of(event.path) == "_metadata";
  const bool output = !event.path.starts_with(snapshots);
  switch (event.operation) {
    case FileOperation::create:
      return metadata || output ? "" : "create snapshot file";
    case FileOperation::append:
      return metadata ? "append to _metadata"
             : output ? "append to output"
                      : "append to snapshot file";
    case FileOperation::sync:
      return metadata ? "sync _metadata" : output ? "sync output" : "sync snapshot file";
    case FileOperation::rename:
      return metadata ? "rename _metadata" : output ? "rename output" : "rename snapshot file";
    case FileOperation::remove:
      return output ? "" : metadata ? "remove _metadata" : "remove snapshot file";
    default:
      return {};
  }
}

std::string message_kill_point(std::string_view message, bool after) {
  return (after ? "after " : "before ") + std::string(message);
}

std::vector<std::string> kill_points() {
  std::vector<std::string> all(file_kill_points.begin(), file_kill_points.end());
  for (const std::string_view message : message_kill_points)
    for (const bool after : {false, true}) all.push_back(message_kill_point(message, after));
  return all;
}

}  // namespace weir
