"""Data for decision-focused learning: real data, generators with shifts, lagged windows."""

from dfl_sklearn.datasets._azure_llm import fetch_azure_llm_trace
from dfl_sklearn.datasets._bakery import fetch_bakery
from dfl_sklearn.datasets._capacity_newsvendor import make_capacity_newsvendor
from dfl_sklearn.datasets._cora import fetch_cora_matching
from dfl_sklearn.datasets._coverage import make_budget_allocation, make_recommendation
from dfl_sklearn.datasets._download import get_data_home
from dfl_sklearn.datasets._flexible_capacity import (
    flexible_capacity_numbers,
    make_flexible_capacity,
)
from dfl_sklearn.datasets._lags import make_lagged
from dfl_sklearn.datasets._linear_costs import (
    knapsack_weights,
    make_knapsack,
    make_shortest_path,
)
from dfl_sklearn.datasets._llm_trace import make_llm_trace
from dfl_sklearn.datasets._loss_portfolio import loss_portfolio_numbers, make_loss_portfolio
from dfl_sklearn.datasets._mean_cvar_portfolio import (
    make_mean_cvar_portfolio,
    mean_cvar_portfolio_covariance,
)
from dfl_sklearn.datasets._newsvendor import make_newsvendor
from dfl_sklearn.datasets._portfolio import make_portfolio, portfolio_covariance
from dfl_sklearn.datasets._read_llm_trace import read_llm_trace
from dfl_sklearn.datasets._storage_prices import fetch_storage_prices
from dfl_sklearn.datasets._two_item_newsvendor import make_two_item_newsvendor
from dfl_sklearn.datasets._uncertain_constraints import (
    make_set_multicover,
    make_uncertain_knapsack,
    set_multicover_numbers,
    uncertain_knapsack_numbers,
)
from dfl_sklearn.datasets._unit_commitment import make_unit_commitment, unit_commitment_numbers
from dfl_sklearn.datasets._yaz import fetch_yaz

__all__ = [
    "fetch_azure_llm_trace",
    "fetch_bakery",
    "fetch_cora_matching",
    "fetch_storage_prices",
    "fetch_yaz",
    "flexible_capacity_numbers",
    "get_data_home",
    "knapsack_weights",
    "loss_portfolio_numbers",
    "make_budget_allocation",
    "make_capacity_newsvendor",
    "make_flexible_capacity",
    "make_knapsack",
    "make_lagged",
    "make_llm_trace",
    "make_loss_portfolio",
    "make_mean_cvar_portfolio",
    "make_newsvendor",
    "make_portfolio",
    "make_recommendation",
    "make_set_multicover",
    "make_shortest_path",
    "make_two_item_newsvendor",
    "make_uncertain_knapsack",
    "make_unit_commitment",
    "mean_cvar_portfolio_covariance",
    "portfolio_covariance",
    "read_llm_trace",
    "set_multicover_numbers",
    "uncertain_knapsack_numbers",
    "unit_commitment_numbers",
]
