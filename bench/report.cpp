#include "bench/report.hpp"

#include <algorithm>
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

std::string load_average() {
  std::ifstream in("/proc/loadavg");
  std::string one;
  in >> one;
  return one;
}

}  // namespace

double Row::median() const {
  if (values.empty()) return 0;
  auto sorted = values;
  std::ranges::sort(sorted);
  return sorted[sorted.size() / 2];
}

Row& Report::row(const std::string& id, const std::string& system, const std::string& variant,
                 const std::string& unit, const Row* cost) {
  for (Row& row : rows_)
    if (row.id == id && row.system == system && row.variant == variant) return row;
  return rows_.emplace_back(Row{id, system, variant, unit, cost});
}

void Report::print() const {
  std::printf("%-8s %-8s %-46s %10s %10s %10s  %-14s %s\n", "id", "system", "variant", "median",
              "min", "max", "unit", "ratio");
  for (const Row& row : rows_) {
    const auto [low, high] = std::ranges::minmax(row.values);
    std::printf("%-8s %-8s %-46s %10.2f %10.2f %10.2f  %-14s", row.id.c_str(), row.system.c_str(),
                row.variant.c_str(), row.median(), low, high, row.unit.c_str());
    if (row.cost != nullptr)
      std::printf(" %.2f of %s, %s", row.ratio(), row.cost->system.c_str(),
                  row.cost->variant.c_str());
    std::printf("\n");
  }
}

bool Report::write_json(const std::string& path) const {
  using Json = nlohmann::ordered_json;
  utsname system{};
  ::uname(&system);
  Json report;
  report["machine"] = {{"cpu", field_of("/proc/cpuinfo", "model name")},
                       {"processors", std::thread::hardware_concurrency()},
                       {"memory", field_of("/proc/meminfo", "MemTotal")},
                       {"kernel", system.release},
                       {"load_average", load_average()}};
  for (const Row& row : rows_) {
    const auto [low, high] = std::ranges::minmax(row.values);
    Json json{{"id", row.id},     {"system", row.system},   {"variant", row.variant},
              {"unit", row.unit}, {"median", row.median()}, {"min", low},
              {"max", high},      {"values", row.values}};
    if (row.cost != nullptr) {
      json["ratio_cost"] = row.ratio();
      json["cost"] = {{"system", row.cost->system}, {"variant", row.cost->variant}};
    }
    report["rows"].push_back(std::move(json));
  }
  std::ofstream out(path);
  out << report.dump(2) << '\n';
  out.close();
  return static_cast<bool>(out);
}

}  // namespace weir::bench
