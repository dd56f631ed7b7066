#include "cli/log_file.hpp"

#include <utility>

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

namespace weir {

struct LogFile::Sink {
  spdlog::logger logger;
};

Result<std::unique_ptr<LogFile>> LogFile::open(const std::string& path, bool verbose) try {
  auto file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path, true);
  auto sink = std::make_unique<Sink>(Sink{spdlog::logger("weir", std::move(file))});
  sink->logger.set_pattern("%Y-%m-%d %H:%M:%S.%e %l: %v");
  sink->logger.set_level(verbose ? spdlog::level::debug : spdlog::level::info);
  sink->logger.flush_on(spdlog::level::debug);
  return std::unique_ptr<LogFile>(new LogFile(std::move(sink)));
} catch (const spdlog::spdlog_ex& failure) {
  return error(Errc::io_error, path + ": cannot write the log: " + failure.what());
}

LogFile::LogFile(std::unique_ptr<Sink> sink) : sink_(std::move(sink)) {}
LogFile::~LogFile() = default;

void LogFile::write(const std::string& level, const std::string& text) {
  const auto severity = level == "error"                          ? spdlog::level::err
                        : level == "warning" || level == "notice" ? spdlog::level::warn
                        : level == "debug"                        ? spdlog::level::debug
                                                                  : spdlog::level::info;
  sink_->logger.log(severity, "{}", text);
}

}  // namespace weir
