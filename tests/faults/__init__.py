"""Stores and workers are killed, stopped, flushed and cut off under load; a checker judges what callers were told.

`make faults ARGS="--seconds 60 --schedules 5"`. Where each fault of the list is thrown ("catalog": by a schedule, under
load; the others are tests, by their paths below `tests/`):

FLT-01  catalog
FLT-02  catalog, flows/test_warm_up
FLT-03  catalog, caches/test_revocations_faults
FLT-04  catalog, caches/test_revocations, flows/test_fast_path, flows/test_warm_up
FLT-05  catalog, caches/test_revocations_faults
FLT-06  catalog, caches/test_revocations_faults
FLT-07  catalog, caches/test_revocations_faults, flows/test_fast_path
FLT-08  catalog
FLT-09  catalog, caches/test_revocations
FLT-10  catalog, flows/test_fast_path, flows/test_publication
FLT-11  catalog, flows/test_fast_path
FLT-12  catalog, caches/test_revocations_faults
FLT-13  catalog, caches/test_revocations_faults
FLT-14  catalog, caches/test_revocations
FLT-15  caches/test_revocations
FLT-16  flows/test_fast_path
FLT-20  catalog, flows/test_warm_up, flows/test_publication
FLT-21  catalog, flows/test_warm_up_races
FLT-22  catalog, flows/test_warm_up_races
FLT-23  catalog, flows/test_lease
FLT-24  catalog
FLT-25  catalog, journeys/test_serve, test_supervisor
FLT-26  catalog, journeys/test_scarcity, test_logs
FLT-27  test_supervisor, journeys/test_serve
FLT-28  test_wiring, web/test_outage, flows/test_warm_up
FLT-30  catalog, flows/test_standby
FLT-31  catalog, flows/test_standby, tables/test_db, flows/test_outages
FLT-34  catalog, journeys/test_serve
FLT-35  catalog, test_wiring, web/test_outage, journeys/test_serve, flows/test_outages
FLT-36  catalog, tables/test_db, web/test_outage, flows/test_outages
FLT-37  catalog, tables/test_db, web/test_outage, flows/test_outages
FLT-38  flows/test_account, tables/test_db, web/test_logout
FLT-40  flows/test_revocation_races
FLT-41  flows/test_account
FLT-42  flows/test_account, flows/test_revocation_races, flows/test_fast_path, web/test_token, tables/test_sessions
FLT-43  flows/test_revocations, flows/test_revocation_races, web/test_revoke, web/test_logout
FLT-44  flows/test_lease, flows/test_recognition, flows/test_warm_up, web/test_introspect, web/test_marks
FLT-45  protocol/test_access_token, tables/test_revocations, flows/test_recognition
FLT-46  flows/test_keys
FLT-47  catalog
"""
