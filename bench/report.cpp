#include "bench/report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <sys/utsname.h>
#include <thread>

#include <nlohmann/json.hpp>

namespace weir::bench {

namespace {

/// The text behind `name` in a file of lines such as `model name : ...`.
std::string field_of(const char* path, const std::string& name) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(name)) return line.substr(std::min(line.find(':') + 2, line.size()));
  return "unknown";
}

double quantile_of(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const auto rank = static_cast<std::size_t>(q * static_cast<double>(values.size()));
  return values[std::min(rank, values.size() - 1)];
}

std::string short_number(double value) {
  char text[32];
  const double size = std::abs(value);
  std::snprintf(text, sizeof(text), "%.*f",
                size < 1     ? 3
                : size < 10  ? 2
                : size < 100 ? 1
                             : 0,
                value);
  return text;
}

std::string text_of(const Floor& floor) {
  return std::string(floor.at_least ? ">= " : "<= ") + short_number(floor.value);
}

}  // namespace

double Row::at_quantile(double q) const { return quantile_of(values, q); }

std::string Row::verdict() const {
  if (!floor) return "";
  const auto is_disturbed = [](const Row& row) {
    return 2 * row.disturbed > static_cast<int>(row.values.size());
  };
  if (is_disturbed(*this) || (floor->of == Floor::Of::ratio && is_disturbed(*cost)))
    return "disturbed";
  const double reached = floor->of == Floor::Of::ratio ? ratio() : figure();
  const bool met = floor->at_least ? reached >= floor->value : reached <= floor->value;
  return met ? "met" : "missed";
}

Row& Report::row(const std::string& id, const std::string& system, const std::string& variant,
                 const std::string& unit, const Row* cost, std::optional<Floor> floor) {
  for (Row& row : rows_)
    if (row.id == id && row.system == system && row.variant == variant) return row;
  return rows_.emplace_back(Row{id, system, variant, unit, cost, floor});
}

void Report::add(Row& row, double value) {
  row.values.push_back(value);
  if (disturbed_) ++row.disturbed;
}

void Report::add_machine(const std::string& name, const std::string& unit, double value) {
  const auto known = std::ranges::find(machine_, name, &MachineFigure::name);
  MachineFigure& figure = known != machine_.end() ? *known : machine_.emplace_back(name, unit);
  figure.values.push_back(value);
}

void Report::print() const {
  for (const MachineFigure& figure : machine_) {
    const auto [low, high] = std::ranges::minmax(figure.values);
    std::printf("machine: %s %s (%s to %s) %s\n", figure.name.c_str(),
                short_number(quantile_of(figure.values, 0.5)).c_str(), short_number(low).c_str(),
                short_number(high).c_str(), figure.unit.c_str());
  }
  std::printf("\n%-8s %-8s %-58s %9s %9s %9s  %-12s %-8s %s\n", "id", "system", "variant", "figure",
              "min", "max", "unit", "floor", "ratio");
  int met = 0;
  int missed = 0;
  int disturbed = 0;
  for (const Row& row : rows_) {
    if (row.values.empty()) continue;
    const auto [low, high] = std::ranges::minmax(row.values);
    std::printf("%-8s %-8s %-58s %9s %9s %9s  %-12s %-8s", row.id.c_str(), row.system.c_str(),
                row.variant.c_str(), short_number(row.figure()).c_str(), short_number(low).c_str(),
                short_number(high).c_str(), row.unit.c_str(),
                row.floor ? text_of(*row.floor).c_str() : "");
    if (row.cost != nullptr)
      std::printf(" %s of %s, %s", short_number(row.ratio()).c_str(), row.cost->system.c_str(),
                  row.cost->variant.c_str());
    const std::string verdict = row.verdict();
    std::printf("%s%s\n", verdict.empty() ? "" : "  ", verdict.c_str());
    met += verdict == "met" ? 1 : 0;
    missed += verdict == "missed" ? 1 : 0;
    disturbed += verdict == "disturbed" ? 1 : 0;
  }
  std::printf("\nfloors: %d met, %d missed, %d on a machine that was busy otherwise\n", met, missed,
              disturbed);
}

bool Report::write_json(const std::string& path) const {
  using Json = nlohmann::ordered_json;
  utsname system{};
  ::uname(&system);
  Json report;
  report["machine"] = {{"cpu", field_of("/proc/cpuinfo", "model name")},
                       {"processors", std::thread::hardware_concurrency()},
                       {"memory", field_of("/proc/meminfo", "MemTotal")},
                       {"kernel", system.release}};
  for (const MachineFigure& figure : machine_)
    report["machine"]["figures"].push_back({{"name", figure.name},
                                            {"unit", figure.unit},
                                            {"median", quantile_of(figure.values, 0.5)},
                                            {"values", figure.values}});
  report["rows"] = Json::array();
  for (const Row& row : rows_) {
    if (row.values.empty()) continue;
    const auto [low, high] = std::ranges::minmax(row.values);
    Json json{{"id", row.id},     {"system", row.system},   {"variant", row.variant},
              {"unit", row.unit}, {"median", row.median()}, {"min", low},
              {"max", high},      {"values", row.values},   {"disturbed", row.disturbed}};
    if (row.quantile != 0.5) {
      json["quantile"] = row.quantile;
      json["figure"] = row.figure();
    }
    for (const auto& [name, values] : row.besides) json[name] = quantile_of(values, 0.5);
    if (row.cost != nullptr) {
      json["ratio_cost"] = row.ratio();
      json["cost"] = {{"system", row.cost->system}, {"variant", row.cost->variant}};
    }
    if (row.floor) {
      json["floor"] = {{"of", row.floor->of == Floor::Of::ratio ? "ratio" : "figure"},
                       {row.floor->at_least ? "at_least" : "at_most", row.floor->value}};
      json["verdict"] = row.verdict();
    }
    report["rows"].push_back(std::move(json));
  }
  std::ofstream out(path);
  out << report.dump(2) << '\n';
  out.close();
  return static_cast<bool>(out);
}

}  // namespace weir::bench
