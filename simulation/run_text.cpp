#include "simulation/run_text.hpp"

#include <algorithm>
#include <cstdio>

#include <nlohmann/json.hpp>

namespace weir {
namespace {

using Json = nlohmann::ordered_json;

/// Lines of the trace that are shown of a run that failed.
constexpr std::size_t shown_lines = 25;
/// Seeds that are named.
constexpr std::size_t shown_seeds = 20;
constexpr std::size_t columns = 100;

/// A line of a trace as people read it. Others as they are.
std::string readable(const std::string& line) {
  const auto begin = line.find('{');
  const Json json =
      begin == std::string::npos ? Json() : Json::parse(line.substr(begin), nullptr, false);
  if (!json.is_object() || !json.contains("t") || !json.contains("message")) return line;
  char time[32];
  std::snprintf(time, sizeof time, "%.3f s", json.value("t", 0.0) / 1000);
  std::string text = std::string(time) + "  " + json.value("from", "") + " -> " +
                     json.value("to", "") + ": " + json.value("message", "");
  if (const auto checkpoint = json.value("checkpoint", std::uint64_t{0}); checkpoint > 0)
    text += " " + std::to_string(checkpoint);
  return text;
}

}  // namespace

std::string wrapped(const std::string& text, const std::string& indent) {
  std::string out;
  std::size_t column = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    const std::size_t length = end - begin;
    if (column > 0 && column + 1 + length > columns) {
      out += "\n" + indent;
      column = indent.size();
    } else if (begin > 0) {
      out += ' ';
      ++column;
    }
    out.append(text, begin, length);
    column += length;
    begin = end + 1;
  }
  return out;
}

std::string story_text(const SimulatedRunReport& report) {
  if (report.story.empty()) return "";
  return wrapped("seed " + std::to_string(report.seed) + " draws " + report.story, "  ") + "\n";
}

std::string faults_text(const std::map<std::string, std::uint64_t>& faults) {
  std::string line = "faults that hit:";
  for (const auto& [fault, hits] : faults) line += " " + fault + " " + std::to_string(hits) + ",";
  if (faults.empty()) line += " none,";
  line.pop_back();
  return wrapped(line, "  ") + "\n";
}

std::string last_lines_text(const SimulatedRunReport& report) {
  const auto& lines = report.last_lines;
  std::string text;
  for (std::size_t i = lines.size() - std::min(lines.size(), shown_lines); i < lines.size(); ++i)
    text += "  | " + readable(lines[i]) + "\n";
  return text;
}

std::string violations_text(const SimulatedRunReport& report) {
  std::string text;
  for (const Violation& one : report.violations) {
    std::string line = "seed " + std::to_string(report.seed);
    if (one.step > 0) line += ", step " + std::to_string(one.step);
    text += wrapped(line + ": " + one.promise + ": " + one.what, "  ") + "\n";
  }
  return text;
}

std::string failed_text(const std::vector<std::uint64_t>& failed) {
  std::string text = std::to_string(failed.size()) + " failed";
  for (std::size_t i = 0; i < std::min(failed.size(), shown_seeds); ++i)
    text += (i == 0 ? ": " : ", ") + std::to_string(failed[i]);
  return failed.size() > shown_seeds ? text + ", ..." : text;
}

}  // namespace weir
