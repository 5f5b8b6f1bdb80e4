"""The reproduction of Lin et al. 2022 (doi 10.3389/fmolb.2022.956720).

It contains the network, loss and GAN, the data sets D1 to D4, and the declared experiments. It is a plug-in: it adds
networks, a loss, a source of images and commands by name. The rest of the program works without it.
"""
