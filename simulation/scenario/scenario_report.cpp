#include "simulation/scenario/scenario_report.hpp"

#include <algorithm>

#include "simulation/scenario/xml_text.hpp"

namespace weir {
namespace {

std::string place_text(const ScenarioReport& report, Place place) {
  Scenario named;
  named.path = report.path;
  return to_string(named, place);
}

std::string seconds(std::chrono::milliseconds time) {
  const std::string ms = std::to_string(time.count() % 1000);
  return std::to_string(time.count() / 1000) + "." + std::string(3 - ms.size(), '0') + ms;
}

std::string failure_of(const ScenarioReport& report, const StepReport& step) {
  return place_text(report, step.place) + ": step '" + step.text + "' failed: " + step.what;
}

std::string failure_of(const ScenarioReport& report, const ExpectationReport& one) {
  return place_text(report, one.place) + ": '" + one.text + "' is not so: expected " +
         one.expected + ", found " + one.found;
}

}  // namespace

bool ScenarioReport::passed() const {
  return steps.size() == steps_in_all && std::ranges::none_of(steps, &StepReport::failed) &&
         std::ranges::all_of(expectations, &ExpectationReport::met);
}

std::vector<std::string> ScenarioReport::failures() const {
  std::vector<std::string> lines;
  for (const StepReport& step : steps)
    if (step.failed) lines.push_back(failure_of(*this, step));
  for (const ExpectationReport& one : expectations)
    if (!one.met) lines.push_back(failure_of(*this, one));
  return lines;
}

std::string to_text(const ScenarioReport& report) {
  std::string text = (report.passed() ? "passed: " : "FAILED: ") + report.name + " (" +
                     seconds(report.time) + " s, " + report.path + ")\n";
  for (const std::string& failure : report.failures()) text += "  " + failure + "\n";
  if (!report.passed() && !report.how_to_repeat.empty()) text += "  " + report.how_to_repeat + "\n";
  return text;
}

std::string to_junit(std::span<const ScenarioReport> reports) {
  std::size_t tests = 0;
  std::size_t failures = 0;
  std::string suites;
  for (const ScenarioReport& report : reports) {
    const std::size_t cases = 1 + report.expectations.size();
    const std::size_t failed = report.failures().size();
    tests += cases;
    failures += failed;
    suites += "  <testsuite name=\"" + xml_text(report.path) + "\" tests=\"" +
              std::to_string(cases) + "\" failures=\"" + std::to_string(failed) +
              "\" errors=\"0\" skipped=\"0\" time=\"" + seconds(report.time) + "\">\n";
    const auto add = [&](const std::string& name, std::chrono::milliseconds time, Place place,
                         const std::string& failure) {
      suites += "    <testcase classname=\"" + xml_text(report.name) + "\" name=\"" +
                xml_text(name) + "\" file=\"" + xml_text(report.path) + "\"" +
                (place.line == 0 ? "" : " line=\"" + std::to_string(place.line) + "\"") +
                " time=\"" + seconds(time) + "\"";
      suites += failure.empty() ? "/>\n"
                                : ">\n      <failure message=\"" + xml_text(failure) +
                                      "\"/>\n    </testcase>\n";
    };
    const auto failed_step = std::ranges::find_if(report.steps, &StepReport::failed);
    const bool steps_done = failed_step == report.steps.end();
    add(std::to_string(report.steps_in_all) + " steps", report.time,
        steps_done ? Place{} : failed_step->place,
        steps_done ? "" : failure_of(report, *failed_step));
    for (const ExpectationReport& one : report.expectations)
      add(one.text, std::chrono::milliseconds(0), one.place,
          one.met ? "" : failure_of(report, one));
    suites += "  </testsuite>\n";
  }
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"" +
         std::to_string(tests) + "\" failures=\"" + std::to_string(failures) + "\">\n" + suites +
         "</testsuites>\n";
}

}  // namespace weir
