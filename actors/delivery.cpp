#include "actors/delivery.hpp"

#include <nlohmann/json.hpp>

namespace weir {

Delivery::Delivery(const Clock& clock, std::function<void(const std::string&)> trace)
    : clock_(clock), active_(static_cast<bool>(trace)), trace_(std::move(trace)) {}

void Delivery::set_filter(std::function<bool(const DeliveryRecord&)> drop) {
  filter_ = std::move(drop);
  active_ = true;
}

bool Delivery::admit_record(const DeliveryRecord& record) {
  const std::scoped_lock lock(mutex_);
  if (filter_ && filter_(record)) return false;
  if (trace_) {
    nlohmann::ordered_json line;
    line["t"] = clock_.wall_now().time_since_epoch().count();
    line["from"] = to_string(record.from);
    line["to"] = to_string(record.to);
    line["message"] = record.message;
    if (!record.job.is_none()) line["job"] = to_string(record.job);
    if (record.checkpoint.value != 0) line["checkpoint"] = record.checkpoint.value;
    if (record.state) line["state"] = enumerator_name(*record.state);
    if (!record.reason.empty()) line["reason"] = record.reason;
    if (!record.detail.empty()) line["detail"] = record.detail;
    // A detail may hold anybody's bytes.
    trace_(line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  }
  return true;
}

}  // namespace weir
