"""Will it rain in Seattle today, with several estimators to choose from?"""
