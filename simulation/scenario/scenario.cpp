#include "simulation/scenario/scenario.hpp"

namespace weir {

std::string to_string(const ProcessName& process) {
  switch (process.kind) {
    case ProcessKind::job_manager:
      return "job manager";
    case ProcessKind::task_manager:
      return "task manager " + std::to_string(process.number);
    case ProcessKind::everything:
      return "everything";
    case ProcessKind::host:
      return "host";
    case ProcessKind::any:
      return "any";
    case ProcessKind::client:
      return "client";
  }
  return "?";
}

std::string to_string(const MessagePattern& pattern) {
  const auto or_any = [](const std::string& who) { return who.empty() ? "any" : who; };
  std::string text = pattern.message;
  if (!pattern.from.empty() || !pattern.to.empty())
    text = or_any(pattern.from) + " -> " + or_any(pattern.to) + ": " + text;
  if (pattern.checkpoint) text += " of checkpoint " + std::to_string(*pattern.checkpoint);
  return text;
}

std::string to_string(const Scenario& scenario, Place place) {
  if (place.line == 0) return scenario.path;
  return scenario.path + ":" + std::to_string(place.line) + ":" + std::to_string(place.column);
}

std::string replace_variables(std::string text, const Scenario& scenario,
                              const ScenarioDirectories& directories) {
  const std::pair<std::string_view, const std::string&> variables[] = {
      {"${work}", directories.work},
      {"${output}", directories.output},
      {"${scenario}", scenario.directory}};
  for (const auto& [name, value] : variables)
    for (std::size_t at = 0; (at = text.find(name, at)) != std::string::npos; at += value.size())
      text.replace(at, name.size(), value);
  return text;
}

}  // namespace weir
