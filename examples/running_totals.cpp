// Keeps a total per account with `map_with_state`: the state of the record's key is handed to a lambda
// and changed in place.
//
//   weir run running_totals.so [--orders N] [--rate PER_SECOND]
//
// Its tests are in running_totals_test.cpp.
#include <cstdint>
#include <string>

#include <weir/weir.hpp>

namespace {

using namespace weir;

struct Order {
  std::uint32_t account = 0;
  std::int64_t cents = 0;
};
WEIR_FIELDS(Order, account, cents)

struct Account {
  std::int64_t orders = 0;
  std::int64_t cents = 0;
};
WEIR_FIELDS(Account, orders, cents)

struct Total {
  std::uint32_t account = 0;
  std::int64_t orders = 0;
  std::int64_t cents = 0;
};
WEIR_FIELDS(Total, account, orders, cents)

/// What the job makes of its orders; apart from the job, so that a test can take it alone.
DataStream<Total> totals_of(const DataStream<Order>& orders) {
  return orders.key_by([](const Order& order) { return order.account; })
      .map_with_state<Account>([](const Order& order, Account& account) {
        ++account.orders;
        account.cents += order.cents;
        return Total{order.account, account.orders, account.cents};
      })
      .uid("totals");
}

}  // namespace

WEIR_JOB(running_totals) {
  const auto orders = env.parameters().number("orders", 20);
  const auto rate = static_cast<double>(env.parameters().number("rate", 0));

  const auto stream =
      env.generate(
             orders,
             [](std::uint64_t i) {
               return Order{static_cast<std::uint32_t>(i % 3), static_cast<std::int64_t>(100 + i)};
             },
             rate)
          .uid("orders");
  totals_of(stream).print().uid("print");
}
