// Keeps a ledger: orders and fees are booked to accounts, each of which knows how much it has seen. The job of those
// scenarios that need what the examples do not have: a second source, which may end early or never, a function that
// fails once, and a sink that may commit or not.
//
//   weir run ledger.so [--output DIRECTORY] [--orders N] [--rate PER_SECOND] [--fees N] [--fee-rate PER_SECOND]
//                      [--fails-at N]
//
// Order i goes to account i modulo 8, fees to account 8. With --output each order is a line `order i`, and when the input
// has ended each account one more; files commit. Without, the lines are printed, and nothing commits. With --fails-at, order
// N fails, unless the job has been restored: so a restart from a checkpoint comes past it.
#include <cstdint>
#include <stdexcept>
#include <string>

#include <weir/weir.hpp>

namespace {

using namespace weir;

constexpr std::uint64_t accounts = 8;

struct Booking {
  std::uint64_t number = 0;
  std::uint64_t account = 0;
};
WEIR_FIELDS(Booking, number, account)

struct Total {
  std::uint64_t bookings = 0;
  std::uint64_t sum = 0;
};
WEIR_FIELDS(Total, bookings, sum)

class FailOnce final : public RichMapFunction<Booking, Booking> {
 public:
  explicit FailOnce(std::uint64_t at) : at_(at) {}
  void open(RuntimeContext& context) override { restored_ = context.is_restored(); }
  Booking map(const Booking& order) override {
    if (order.number == at_ && !restored_)
      throw std::runtime_error("order " + std::to_string(at_) + " is refused once");
    return order;
  }

 private:
  const std::uint64_t at_;
  bool restored_ = false;
};

class Book final : public KeyedProcessFunction<std::uint64_t, Booking, std::string> {
 public:
  void open(RuntimeContext& context) override {
    total_ = context.state(ValueStateDescriptor<Total>{"total"});
  }
  void process_element(const Booking& booking, Context&, Collector<std::string>& out) override {
    Total& total = total_.mutable_value();
    ++total.bookings;
    total.sum += booking.number;
    if (booking.account < accounts) out.collect("order " + std::to_string(booking.number));
  }
  void on_end_of_input(const std::uint64_t& account, Context&, Collector<std::string>& out) {
    const Total total = *total_.value();
    out.collect("account " + std::to_string(account) + ": " + std::to_string(total.bookings) +
                " bookings, " + std::to_string(total.sum));
  }

 private:
  ValueState<Total> total_;
};

}  // namespace

WEIR_JOB(ledger) {
  auto& parameters = env.parameters();
  const auto output = parameters.get("output", "");
  const auto rate = static_cast<double>(parameters.number("rate", 0));
  const auto fee_rate = static_cast<double>(parameters.number("fee-rate", 0));
  const auto fails_at = parameters.number("fails-at", unlimited);

  auto orders = env.generate(
      parameters.number("orders", 1000), [](std::uint64_t i) { return Booking{i, i % accounts}; },
      rate);
  orders.uid("orders");
  auto checked = orders.map(FailOnce{fails_at});
  checked.uid("checked");
  auto fees = env.generate(
      parameters.number("fees", 0), [](std::uint64_t i) { return Booking{i, accounts}; }, fee_rate);
  fees.uid("fees");
  auto booked = checked.union_with(fees)
                    .key_by([](const Booking& booking) { return booking.account; })
                    .process(Book{});
  booked.uid("accounts");
  if (output.empty())
    booked.print().uid("print");
  else
    booked.write_files(output, [](const std::string& line) { return line; }).uid("output");
}
